import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from backhand import Linear, runs
from backhand.runs.config import PLACES, flags
from experiments import reproduce
from experiments.reproduce import DIFFERENT, IDENTICAL, INCOMPARABLE, WITHIN

W = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    learning_rate: float = 0.1
    hidden: tuple[int, ...] = (8,)


def carry_out(out, w=W, loss=0.25, config=Config(), **receipt):
    """A run as an experiment would leave it, with more in its receipt."""
    run = runs.Run.start("lab", replace(config, out=out))
    run.data("d")
    run.receipt |= receipt
    params = Linear(w, np.zeros(3, np.float32))
    run.keep("net", params, {"loss": np.array([loss, loss / 2])}, test=loss)
    run.save_kept()
    ending = {"params_sha256": "q", "opt_state_sha256": "r"}
    run.receipt["trainings"] |= {"net": ending | {"step": 7}}
    run.finish("finished", 1.0)
    return run.folder


@pytest.fixture(scope="module")
def rerun(tmp_path_factory):
    return carry_out(tmp_path_factory.mktemp("rerun"))


@pytest.fixture
def original(rerun, tmp_path):
    return Path(shutil.copytree(rerun, tmp_path / "original"))


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def sign(folder, **more):
    """Make the receipt say what config.json is now."""
    digest = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()

    def signed(receipt):
        return receipt | more | {"files": receipt["files"] | {"config.json": digest}}

    edit(folder / "receipt.json", signed)


def test_the_same_again(original, rerun):
    assert reproduce.verdict(original, rerun) == (IDENTICAL, "no difference")


# Fields of a receipt that may differ: when, how long, and how it was called.
NEUTRAL = {"started", "ended", "seconds"}
# Fields that make a run incomparable if they differ.
CONTRADICTED = {
    "experiment": "config       experiment: ",
    "config": "the run's files are not those of its receipt: config differs",
    "outcome": "the run did not finish",
    "data_sha256": "digests      data_sha256: ",
    "params_sha256": "the run's files are not those of its receipt: params_sha256 differs",
    "files": "the run's files are not those of its receipt: ",
}


def leaves(value: Any, *path: str) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in leaves(inner, *path, key)]
    return [path]


def changed(value: Any) -> Any:
    if isinstance(value, list):
        return [*value, 1]
    if isinstance(value, dict):
        return {"jax_enable_x64": "of another"}
    if isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str | None) else value + 1


def test_every_field_of_a_receipt_that_matters_is_noticed(original, rerun):
    receipt = json.loads((rerun / "receipt.json").read_text())
    paths = leaves(receipt)
    assert len(paths) > 30
    for path in paths:
        other = json.loads(json.dumps(receipt))
        inner = other
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = changed(inner[path[-1]])
        (original / "receipt.json").write_text(json.dumps(other))
        (status, account), name = reproduce.verdict(original, rerun), ".".join(path)
        if path[0] in NEUTRAL:
            assert (status, account) == (IDENTICAL, "no difference"), name
        elif path[0] in CONTRADICTED:
            assert status == INCOMPARABLE, name
            assert account.startswith(CONTRADICTED[path[0]]), name
        elif path[0] == "trainings":
            assert status == DIFFERENT, name
            assert account.startswith(f"digests      {name}: "), name
        else:
            assert status == IDENTICAL, name
            assert re.fullmatch(f"environment  {name}(.[1-9]|.jax_enable_x64)?: .*", account), name


@pytest.mark.parametrize(
    "field", ["config", "outcome", "params_sha256", "data_sha256", "experiment"]
)
def test_fields_that_a_receipt_needs(original, rerun, field):
    edit(original / "receipt.json", lambda r: {k: v for k, v in r.items() if k != field})
    assert reproduce.verdict(original, rerun).status == INCOMPARABLE


def test_a_setting_that_one_version_lacks(original, rerun):
    old = {"learning_rate": 0.1, "seed": 0}
    edit(original / "config.json", lambda _: old)
    sign(original, config=old)
    found = reproduce.verdict(original, rerun)
    assert found == (INCOMPARABLE, "config       hidden: null and [8]")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("receipt.json", "it has no receipt.json"),
        ("params.safetensors", "params_sha256 differs"),
        ("metrics.jsonl", "metrics.jsonl differs"),
        ("config.json", "config.json"),
    ],
)
def test_a_file_that_is_gone(original, rerun, name, reason):
    (original / name).unlink()
    found = reproduce.verdict(original, rerun)
    assert found.status == INCOMPARABLE
    assert reason in found.account


@pytest.mark.parametrize("name", ["report.html", "figures/a.svg", "results.json", "more.txt"])
def test_a_file_that_was_changed_or_added(tmp_path, rerun, name):
    run = runs.Run.start("lab", Config(out=tmp_path))
    run.keep("net", {"w": np.ones(2)})
    run.save_kept()
    run.write("report.html", "a")
    run.write("figures/a.svg", "a")
    run.finish("finished", 1.0)
    assert reproduce.check_whole(run.folder)
    (run.folder / name).write_text("b")
    with pytest.raises(ValueError, match=f"not those of its receipt: {name} differs"):
        reproduce.check_whole(run.folder)


def test_a_run_without_results(original, rerun):
    for path in original.iterdir():
        if path.name not in ("config.json", "receipt.json"):
            path.unlink()

    def unsigned(receipt):
        files = {"config.json": receipt["files"]["config.json"]}
        return receipt | {"params_sha256": None, "files": files}

    edit(original / "receipt.json", unsigned)
    assert "holds no results to compare" in reproduce.verdict(original, rerun).account


@pytest.mark.parametrize("name", ["receipt.json", "config.json", "metrics.jsonl", "results.json"])
def test_files_that_are_not_files(original, rerun, name):
    (original / name).unlink()
    os.mkfifo(original / name)  # to read from it would take for ever
    assert reproduce.verdict(original, rerun).status == INCOMPARABLE


@pytest.mark.parametrize(
    "name", ["receipt.json", "config.json", "metrics.jsonl", "params.safetensors"]
)
def test_files_that_lie_elsewhere(original, rerun, name):
    (original / name).unlink()
    (original / name).symlink_to(rerun / name)
    assert reproduce.verdict(original, rerun).status == INCOMPARABLE


def test_metrics_without_end(original, rerun):
    os.truncate(original / "metrics.jsonl", 2**40)  # of holes
    assert "metrics.jsonl is too long" in str(reproduce.verdict(original, rerun))


ROUNDING = 1 + np.float32(1e-5)


@pytest.mark.parametrize(
    ("run", "status", "words"),
    [
        ({"w": W * ROUNDING, "cores": 99}, WITHIN, ["params/net.w: 6.0e-05 apart", "cores: "]),
        ({"loss": 0.25001, "cores": 99}, WITHIN, ["metrics.1.loss", "cores: "]),
        ({"w": W * ROUNDING}, DIFFERENT, ["params/net.w: 6.0e-05 apart", "no circumstance"]),
        ({"w": W * ROUNDING, "commit": "98"}, DIFFERENT, ["commit", "no circumstance"]),
        ({"w": W * 1.001, "cores": 99}, DIFFERENT, ["params/net.w: 6.0e-03 apart", "cores: "]),
        ({"loss": 0.26, "cores": 99}, DIFFERENT, ["results.net.test: 1.0e-02 apart", "cores: "]),
        ({"w": W.astype(np.float64), "cores": 99}, DIFFERENT, ["params/net.w: not measurable"]),
        ({"w": W * np.nan, "cores": 99}, DIFFERENT, ["params/net.w: not measurable"]),
        ({"config": Config(learning_rate=0.2), "cores": 99}, DIFFERENT, ["rate: 0.1 and 0.2"]),
    ],
)
def test_how_far_and_why(original, tmp_path, run, status, words):
    found = reproduce.verdict(original, carry_out(tmp_path / "rerun", **run))
    assert found.status == status, found
    for each in words:
        assert each in str(found)


def test_a_verdict_begins_with_one_of_four_words():
    found = [
        str(reproduce.Verdict(status, "\x1b[2J"))
        for status in (IDENTICAL, DIFFERENT, INCOMPARABLE, WITHIN)
    ]
    assert [words.splitlines()[0] for words in found] == [
        "bitwise identical", "different", "cannot be compared", "same within t"
    ]  # fmt: skip
    assert "\x1b" not in "".join(found)


@pytest.mark.parametrize("name", sorted(reproduce.SHORT.keys() - {"notebook"}))
def test_flags_say_the_whole_config(name):
    """As short runs have it: `flags` and the command line are each other's reverse."""
    config_type = import_module(f"experiments.{name}").Config
    config = tyro.cli(config_type, args=reproduce.SHORT[name].split())
    words = flags(runs.config.settings(config))
    assert tyro.cli(config_type, args=words) == config
    given = {word.split("=")[0].replace("--no-", "--") for word in words if word[:2] == "--"}
    assert given == {
        f"--{f.name.replace('_', '-')}" for f in fields(config) if f.name not in PLACES
    }


@pytest.mark.parametrize(
    "experiment", ["../../evil", "/bin/x", "reproduce", "lesson", "", None, ["lab"], {"a": 1}, 7]
)
def test_an_experiment_that_is_not_one_of_ours(original, experiment):
    edit(original / "receipt.json", lambda r: r | {"experiment": experiment})
    with pytest.raises(ValueError, match="its experiment should be one of lab, "):
        reproduce.command(original)


@pytest.mark.parametrize(
    "setting",
    [{"csv": "/etc/passwd"}, {"csv": "../points.csv"}, {"csv": "a/../../b"}, {"csv": ["a", "/b"]}],
)
def test_a_config_that_leads_away(original, setting):
    edit(original / "config.json", lambda config: config | setting)
    with pytest.raises(ValueError, match="its settings should lead to no other folder, got"):
        reproduce.command(original)


def test_only_the_lesson_is_run_again(original):
    edit(original / "receipt.json", lambda r: r | {"experiment": "notebook"})
    edit(original / "config.json", lambda _: {"seed": 0, "notebook": "lesson.py"})
    *_, module, lesson = reproduce.command(original)
    assert module == "backhand.runs.notebook"
    assert Path(lesson).samefile(reproduce.EXPERIMENTS / "lesson.py")
    edit(original / "config.json", lambda _: {"seed": 0, "notebook": "evil.ipynb"})
    with pytest.raises(ValueError, match="its config should be"):
        reproduce.command(original)


TOY = """
from dataclasses import dataclass

import numpy as np

from backhand import runs

@dataclass(frozen=True)
class Config(runs.Config):
    scale: float = 1.0

def train(config, run):
    run.keep("net", {"w": config.scale * np.random.default_rng(config.seed).random(3)})

runs.main(Config, train, description="a toy")
"""


def ended(monkeypatch, capsys, *words):
    """The status and what was printed."""
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        reproduce.main()
    return left.value.code, capsys.readouterr()


@pytest.mark.slow
def test_runs_made_and_reproduced(tmp_path, monkeypatch, capsys):
    """In processes of their own, by words from their folders."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tmp_path)
    monkeypatch.setattr(reproduce, "SHORT", {"toy": "--seed 4 --scale 2"})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    status, printed = ended(monkeypatch, capsys, "--all")
    assert status == IDENTICAL
    assert printed.out.startswith("toy: bitwise identical\n")

    made = reproduce.carry_out([sys.executable, str(tmp_path / "toy.py")], tmp_path / "out", None)
    (tmp_path / "toy.py").write_text(TOY.replace("random(3)", "random(3) * (1 + 1e-12)"))
    status, printed = ended(monkeypatch, capsys, "--run", made)
    assert status == WITHIN
    assert printed.out.startswith("same within t\n  environment  source_sha256: ")
    assert re.search("results      params/net.w: .* t is 1.5e-08\n", printed.out)

    config = {"scale": 1.0, "seed": 0, "wings": 2}
    edit(made / "config.json", lambda _: config)
    sign(made, config=config)
    status, printed = ended(monkeypatch, capsys, "--run", made)
    assert status == INCOMPARABLE
    assert printed.out.startswith("cannot be compared\n  it ended with status 2, and said:")
    assert "--wings" in printed.out


def test_data_lie_where_one_says(tmp_path, monkeypatch):
    def run(words, **options):
        called.append(words)
        (tmp_path / "lab" / "1").mkdir(parents=True)
        (tmp_path / "lab" / "1" / "receipt.json").touch()
        cache = options["env"]["JAX_COMPILATION_CACHE_DIR"]
        assert Path(cache).is_relative_to(tmp_path)  # not what the run itself filled
        return reproduce.subprocess.CompletedProcess(words, 0, "", "")

    called: list[Any] = []
    monkeypatch.setattr(reproduce.subprocess, "run", run)
    reproduce.carry_out(reproduce.program("lab"), tmp_path, Path("/data"))
    shutil.rmtree(tmp_path / "lab")
    reproduce.carry_out(reproduce.program("planar"), tmp_path, Path("/data"))
    assert called[0][2:] == ["--data-dir=/data", f"--out={tmp_path}"]
    assert called[1][2:] == [f"--out={tmp_path}"]


@pytest.mark.parametrize("words", [(), ("--run", "x", "--all"), ("--walk", "x")])
def test_bad_usage(monkeypatch, capsys, words):
    status, printed = ended(monkeypatch, capsys, *words)
    assert status == INCOMPARABLE
    assert printed.err
    assert printed.out == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_it_leaves_nothing(original, tmp_path, monkeypatch, capsys, number, status):
    def stopped(words, out, data_dir):
        assert out.parent == tmp_path
        signal.raise_signal(number)

    monkeypatch.setattr(reproduce, "carry_out", stopped)
    monkeypatch.setattr(reproduce, "command", lambda folder: ["lab"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    try:
        got, printed = ended(monkeypatch, capsys, "--run", original)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (got, printed.out) == (status, "")
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == [original]


def test_a_folder_that_is_not_there(monkeypatch, capsys):
    status, printed = ended(monkeypatch, capsys, "--run", "nowhere")
    assert status == INCOMPARABLE
    assert printed.out.startswith("cannot be compared\n  nowhere is not the folder of a run")


def test_every_experiment_has_a_short_run():
    paths = reproduce.EXPERIMENTS.glob("*.py")
    named = {path.stem for path in paths if "runs.main(" in path.read_text(encoding="utf-8")}
    assert named - {"soak"} == reproduce.SHORT.keys() - {"notebook"}  # a soak compares by itself
