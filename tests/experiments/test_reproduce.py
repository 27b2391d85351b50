import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from backhand import Linear, runs
from backhand.runs.comparison import contents
from backhand.storage import parameters as files
from backhand.storage.digests import sha256
from experiments import (
    bench,
    costs,
    explain,
    lab,
    lecun,
    losses,
    mnist,
    mutants,
    overfitting,
    planar,
    regression,
    reproduce,
    verify,
)
from experiments.reproduce import DIFFERENT, IDENTICAL, INCOMPARABLE, WITHIN

W = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


@dataclass(frozen=True)
class Config:
    learning_rate: float = 0.1
    hidden: tuple[int, ...] = (8,)
    seed: int = 3
    out: Path = Path("runs/toy")


def carry_out(out, w=W, loss=0.25, config=Config(), name="lab", **said):
    """A run as an experiment would leave it, and the receipt as main would."""
    run = runs.Run.start(name, replace(config, out=out))
    for epoch in (1, 2):
        run.log(epoch=epoch, loss=loss / epoch)
    run.save_params((Linear(w, np.zeros(3, np.float32)),))
    run.write_json("results.json", [{"loss": loss}])
    digest = hashlib.sha256((run.folder / "metrics.jsonl").read_bytes()).hexdigest()
    ends = {"program_sha256": "p", "step": 7, "params_sha256": "q", "opt_state_sha256": "r"}
    run.receipt |= {"data_sha256": "d", "metrics_sha256": digest} | said
    run.finish("finished", 1.0)
    edit(run.folder / "receipt.json", lambda receipt: receipt | {"trainings": {"net": ends}})
    return run.folder


@pytest.fixture(scope="module")
def rerun(tmp_path_factory):
    return carry_out(tmp_path_factory.mktemp("rerun"))


@pytest.fixture
def original(rerun, tmp_path):
    return Path(shutil.copytree(rerun, tmp_path / "original"))


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_the_same_again(original, rerun):
    assert reproduce.verdict(original, rerun) == (IDENTICAL, ())


# What of a receipt may be otherwise without a word: when, how long, and how it was called.
NEUTRAL = {"command", "flags", "started", "ended", "seconds"}
# What else is then no longer so, by the first words of the reason.
CONTRADICTED = {
    "experiment": "experiment was",
    "seed": "the run's files are not those of its receipt: config.json",
    "config": "the run's files are not those of its receipt: config.json",
    "outcome": "the run did not finish",
    "data_sha256": "data_sha256 was",
    "params_sha256": "the run's files are not those of its receipt: its parameters are others",
    "metrics_sha256": "the run's files are not those of its receipt: metrics.jsonl",
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
    return (
        not value if isinstance(value, bool) else f"{value}x" if isinstance(value, str | None) else value + 1
    )


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
        found, name = reproduce.verdict(original, rerun), ".".join(path)
        if path[0] in NEUTRAL:
            assert found == (IDENTICAL, ()), name
        elif path[0] in CONTRADICTED:
            assert found.status == INCOMPARABLE, name
            assert found.reasons[0].startswith(CONTRADICTED[path[0]]), name
        elif path[0] == "trainings" and path[-1] != "program_sha256":
            assert found.status == DIFFERENT, name
            assert found.reasons[0].startswith(f"{name} was"), name
        else:
            assert found.status == IDENTICAL, name
            assert len(found.reasons) == 1, name
            assert found.reasons[0].startswith(f"{name}"), name


@pytest.mark.parametrize("field", ["config", "seed", "outcome", "params_sha256", "data_sha256", "experiment"])
def test_fields_that_a_receipt_needs(original, rerun, field):
    edit(original / "receipt.json", lambda r: {key: value for key, value in r.items() if key != field})
    assert reproduce.verdict(original, rerun).status == INCOMPARABLE


def test_settings_that_one_version_lacks(original, rerun):
    old = {"learning_rate": 0.1, "seed": 3}
    edit(original / "receipt.json", lambda receipt: receipt | {"config": old})
    edit(original / "config.json", lambda _: old)
    assert reproduce.verdict(original, rerun) == (INCOMPARABLE, ("not both know these settings: hidden",))


def test_a_receipt_of_old_is_enough(original, rerun):
    edit(
        original / "receipt.json",
        lambda r: {k: v for k, v in r.items() if k not in ("trainings", "metrics_sha256")},
    )
    assert reproduce.verdict(original, rerun) == (IDENTICAL, ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("receipt.json", "no receipt.json"),
        ("params.safetensors", "its parameters are gone"),
        ("metrics.jsonl", "metrics.jsonl is another"),
        ("config.json", "config.json"),
    ],
)
def test_a_file_that_is_gone(original, rerun, name, reason):
    (original / name).unlink()
    found = reproduce.verdict(original, rerun)
    assert found.status == INCOMPARABLE
    assert reason in found.reasons[0]


@pytest.mark.parametrize("name", ["receipt.json", "config.json", "metrics.jsonl", "results.json"])
def test_files_that_are_no_files(original, rerun, name):
    (original / name).unlink()
    os.mkfifo(original / name)  # to read from it would take for ever
    wanted = DIFFERENT if name == "results.json" else INCOMPARABLE
    assert reproduce.verdict(original, rerun).status == wanted


@pytest.mark.parametrize("name", ["receipt.json", "config.json", "metrics.jsonl", "params.safetensors"])
def test_files_that_lie_elsewhere(original, rerun, name):
    (original / name).unlink()
    (original / name).symlink_to(rerun / name)
    assert reproduce.verdict(original, rerun).status == INCOMPARABLE


def test_metrics_without_end(original, rerun):
    os.truncate(original / "metrics.jsonl", 2**40)  # of holes
    assert "metrics.jsonl is too long" in str(reproduce.verdict(original, rerun))


def test_files_that_are_another_runs(original, rerun, tmp_path):
    other = carry_out(tmp_path / "other", W + 1, 0.5)
    said = {"params.safetensors": "its parameters are others", "metrics.jsonl": "metrics.jsonl is another"}
    for name, words in said.items():
        content = (original / name).read_bytes()
        shutil.copy(other / name, original / name)
        found = reproduce.verdict(original, rerun)
        assert found == (INCOMPARABLE, (f"the run's files are not those of its receipt: {words}",))
        (original / name).write_bytes(content)


ROUNDING = 1 + np.float32(1e-5)


@pytest.mark.parametrize(
    ("run", "status", "reasons"),
    [
        ({"w": W * ROUNDING, "cores": 99}, WITHIN, ["params/0.w: 6.0e-05 apart", "cores was"]),
        ({"loss": 0.25001, "cores": 99}, WITHIN, ["metrics.loss", "cores was"]),
        ({"w": W * ROUNDING}, DIFFERENT, ["params/0.w: 6.0e-05 apart", "no circumstance"]),
        (
            {"w": W * ROUNDING, "affinity": "98 99"},
            DIFFERENT,
            ["params/0.w", "no circumstance", "affinity was"],
        ),
        ({"w": W * 1.001, "cores": 99}, DIFFERENT, ["params/0.w: 6.0e-03 apart", "cores was"]),
        ({"loss": 0.26, "cores": 99}, DIFFERENT, ["results.0.loss: 1.0e-02 apart", "cores was"]),
        ({"w": W.astype(np.float64), "cores": 99}, DIFFERENT, ["params/0.w: not to be measured"]),
        ({"w": W * np.nan, "cores": 99}, DIFFERENT, ["params/0.w: not to be measured"]),
        ({"config": Config(0.2), "cores": 99}, DIFFERENT, ["learning_rate was 0.1, is 0.2"]),
    ],
)
def test_how_far_and_why(original, tmp_path, run, status, reasons):
    found = reproduce.verdict(original, carry_out(tmp_path / "rerun", **run))
    assert found.status == status, found
    for reason in reasons:
        assert reason in str(found)


def test_a_verdict_is_one_of_four_words():
    said = [
        str(reproduce.Verdict(status, ("\x1b[2J",)))
        for status in (IDENTICAL, DIFFERENT, INCOMPARABLE, WITHIN)
    ]
    assert [words.splitlines()[0] for words in said] == [
        "bitwise identical", "different", "cannot be compared", "same within t"
    ]  # fmt: skip
    assert "\x1b" not in "".join(said)


CONFIGS = [
    *(lab.Config(), lab.Config(hidden=(), gradient="manual", learning_rate=1e-7)),
    *(planar.Config(), planar.Config("moons", noise=0.1, compare=True, csv=None, hidden=(8, 8))),
    *(regression.Config(), regression.Config(weight_decay=2.0, losses=("huber",))),
    *(overfitting.Config(), losses.Config(precision="float16"), explain.Config(hidden=())),
    *(mnist.Config(), lecun.Config(), lecun.Config(("300", "1000"), seeds=2, shift=0.5)),
    *(verify.Config(7), mutants.Config(every=3), bench.Config((5, 6)), costs.Config(rounds=7)),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__module__.split(".")[-1])
def test_flags_say_the_whole_config(tmp_path, config):
    run = runs.Run.start("any", replace(config, out=tmp_path))
    words = reproduce.flags(json.loads((run.folder / "config.json").read_text()))
    assert tyro.cli(type(config), args=words) == config
    said = {word.split("=")[0].replace("--no-", "--") for word in words if word.startswith("--")}
    places = {"out", "data_dir", "resume"}
    assert said == {f"--{f.name.replace('_', '-')}" for f in fields(config) if f.name not in places}


@pytest.mark.parametrize(
    "experiment", ["../../evil", "/bin/x", "reproduce", "lesson", "", None, ["lab"], {"a": 1}, 7]
)
def test_an_experiment_that_is_none_of_ours(original, experiment):
    edit(original / "receipt.json", lambda r: r | {"experiment": experiment})
    with pytest.raises(ValueError, match="its experiment should be one of bench"):
        reproduce.command(original, None)


@pytest.mark.parametrize(
    "setting",
    [
        {"out": "elsewhere"},
        {"data_dir": "elsewhere"},
        {"resume": "elsewhere"},
        {"csv": "/etc/passwd"},
        {"csv": "../points.csv"},
        {"csv": "a/../../points.csv"},
        {"hidden": ["--out", "/elsewhere"]},
        {"hidden": "--out"},
        {"hidden": [[8]]},
        {"hidden": {"a": 8}},
        {"a b": 1},
        {"": 1},
        {"x=1 --out": 1},
    ],
)
def test_a_config_that_would_reach_further(setting):
    with pytest.raises(ValueError, match="its config should hold settings, got"):
        reproduce.flags(setting)


@pytest.mark.parametrize("notebook", ["/tmp/evil.py", "../lesson.py", "evil.ipynb", None, ["lesson.py"]])
def test_a_notebook_that_is_not_the_lesson(original, notebook):
    edit(original / "receipt.json", lambda r: r | {"experiment": "notebook"})
    (original / "config.json").write_text(json.dumps({"notebook": notebook}))
    with pytest.raises(ValueError, match=r"of notebooks only lesson\.py is run again"):
        reproduce.command(original, None)


def test_the_lesson_is_run_from_where_it_was(original):
    edit(original / "receipt.json", lambda r: r | {"experiment": "notebook"})
    for notebook in ("lesson.py", "experiments/lesson.py"):
        (original / "config.json").write_text(json.dumps({"notebook": notebook}))
        words, here = reproduce.command(original, None)
        assert words[1:] == ["-m", "backhand.runs.notebook", notebook]
        assert (here / notebook).samefile(reproduce.EXPERIMENTS / "lesson.py")


def test_data_lies_where_one_says(original, tmp_path):
    assert f"--data-dir={tmp_path}" in reproduce.command(original, tmp_path)[0]
    edit(original / "receipt.json", lambda r: r | {"experiment": "planar"})
    assert not any(word.startswith("--data-dir") for word in reproduce.command(original, tmp_path)[0])


TOY = """
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backhand import runs

@dataclass(frozen=True)
class Config:
    scale: float = 1.0
    seed: int = 0
    out: Path = Path("runs/toy")

def run(config, run):
    run.save_params({"w": config.scale * np.random.default_rng(config.seed).random(3)})

runs.main(Config, run, "a toy")
"""


def ended(monkeypatch, capsys, *words):
    """The status and what was printed."""
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        reproduce.main()
    return left.value.code, capsys.readouterr()


def test_runs_made_and_reproduced(tmp_path, monkeypatch, capsys):
    """In processes of their own, by words from their folders."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tmp_path)
    monkeypatch.setattr(reproduce, "NAMES", ("toy",))
    monkeypatch.setattr(reproduce, "SHORT", {"toy": "--seed 4 --scale 2"})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    status, said = ended(monkeypatch, capsys, "--all")
    assert status == IDENTICAL
    assert said.out.startswith("toy: bitwise identical\n")

    made = reproduce.carried_out([sys.executable, str(tmp_path / "toy.py")], tmp_path, tmp_path / "out")
    (tmp_path / "toy.py").write_text(TOY.replace("random(3)", "random(3) * (1 + 1e-12)"))
    status, said = ended(monkeypatch, capsys, "--run", made)
    assert status == WITHIN
    assert re.match("same within t\n  params/w: .* t is 1.5e-08\n  source_sha256 was", said.out)

    config = {"scale": 1.0, "seed": 0, "wings": 2}
    edit(made / "receipt.json", lambda receipt: receipt | {"config": config})
    edit(made / "config.json", lambda _: config)
    status, said = ended(monkeypatch, capsys, "--run", made)
    assert status == INCOMPARABLE
    assert said.out.startswith("cannot be compared\n  it ended with status 2, and said:")
    assert "--wings" in said.out


@pytest.mark.parametrize("words", [(), ("--run", "x", "--all"), ("--walk", "x")])
def test_bad_usage(monkeypatch, capsys, words):
    status, said = ended(monkeypatch, capsys, *words)
    assert status == INCOMPARABLE
    assert said.err
    assert said.out == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_it_leaves_nothing(original, tmp_path, monkeypatch, capsys, number, status):
    def stopped(words, here, out):
        assert out.parent == tmp_path
        signal.raise_signal(number)

    monkeypatch.setattr(reproduce, "carried_out", stopped)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    try:
        got, said = ended(monkeypatch, capsys, "--run", original)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (got, said.out) == (status, "")
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == [original]


def test_a_folder_that_is_not_there(monkeypatch, capsys):
    status, said = ended(monkeypatch, capsys, "--run", "nowhere")
    assert (status, said.out) == (INCOMPARABLE, "cannot be compared\n  nowhere is no folder\n")


def test_nets_kept_one_by_one_have_one_digest(rerun, tmp_path):
    net = {"0.w": W, "0.b": W[0]}
    for name in ("a", "b", "a-said"):
        (tmp_path / "nets").mkdir(exist_ok=True)
        files.write(tmp_path / "nets" / f"{name}.safetensors", files.encode(net))
    done = {name: {"params_sha256": sha256(net)} for name in ("b", "a")}
    assert reproduce.params_sha256(contents(tmp_path)) == lecun.sha256_of(done)


def test_every_experiment_has_a_short_run():
    paths = reproduce.EXPERIMENTS.glob("*.py")
    named = [path.stem for path in paths if "runs.main(" in path.read_text(encoding="utf-8")]
    assert set(named) - {"soak"} == set(
        reproduce.NAMES
    )  # a soak is many runs held against each other already
