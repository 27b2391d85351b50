import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from backhand import Linear, runs
from backhand.storage import parameters as files
from backhand.storage.digests import sha256


@dataclass(frozen=True)
class Config:
    out: Path = Path("runs/toy")
    seed: int = 3
    hidden: tuple[int, ...] = (4, 2)
    compare: bool = False
    csv: Path | None = None


@pytest.fixture
def run(tmp_path):
    return runs.Run.start("toy", Config(tmp_path / "runs" / "toy"))


def test_start_makes_a_folder_and_writes_the_config(run, tmp_path):
    assert run.folder.parent == tmp_path / "runs" / "toy"
    assert json.loads((run.folder / "config.json").read_text()) == {
        "seed": 3,
        "hidden": [4, 2],
        "compare": False,
        "csv": None,
    }


def test_two_runs_never_share_a_folder(tmp_path):
    folders = {runs.Run.start("toy", Config(tmp_path)).folder for _ in range(5)}
    assert len(folders) == 5


def test_metrics_come_back_as_they_were(run):
    assert run.metrics() == []
    run.log(epoch=1, loss=0.5, max_w=[1.0, np.float32(2.0)])
    run.log(epoch=2, loss=math.nan, max_w=[math.inf, 1.0])
    first, second = run.metrics()
    assert first == {"epoch": 1, "loss": 0.5, "max_w": [1.0, 2.0]}
    assert math.isnan(second["loss"])
    assert math.isnan(second["max_w"][0])
    for line in (run.folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_params_by_path_and_digest(run):
    w, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(3, np.float32)
    run.save_params({"net": (Linear(w.T.copy().T, b), ())})
    arrays = run.arrays("params.safetensors")
    assert list(arrays) == ["net.0.b", "net.0.w"]
    np.testing.assert_array_equal(arrays["net.0.w"], w)
    assert run.receipt["params_sha256"] == sha256(arrays)
    assert files.read(run.folder / "params.safetensors")[1] == run.receipt["config"]


def test_arrays_go_back_into_their_tree():
    tree = ((Linear(np.ones((2, 3)), np.zeros(3)), ()), {"scale": np.array(2.0)})
    arrays = files.named_arrays({7: tree})
    assert "7.0.0.w" in arrays
    back = files.arrays_as(tree, arrays, "7.")
    assert isinstance(back[0][0], Linear)
    assert back[0][0].w is arrays["7.0.0.w"]
    assert back[1]["scale"] == 2
    with pytest.raises(KeyError, match=r"8\.0\.0\.w"):
        files.arrays_as(tree, arrays, "8.")


@pytest.mark.parametrize("name", ["../a.txt", "/etc/a.txt", "figures/../../a.txt", "link/a.txt", "", "."])
def test_names_stay_in_the_folder(run, name):
    (run.folder / "link").symlink_to(run.folder.parent)
    for use in (lambda: run.write(name, "a"), lambda: run.arrays(name), lambda: run.read_json(name)):
        with pytest.raises(
            ValueError, match=f"name should be that of a file in the run's folder, got '{name}'"
        ):
            use()
    assert not (run.folder.parent / "a.txt").exists()
    with pytest.raises(ValueError, match=r"got 'figures/\.\./\.\./a\.svg'"):
        run.figure("../../a", "light", "dark", "alt")


def test_the_receipt_says_how_and_not_where(run):
    run.finish("finished", 1.23456)
    text = (run.folder / "receipt.json").read_text()
    receipt = json.loads(text)
    assert receipt["experiment"] == "toy"
    assert receipt["seed"] == 3
    assert receipt["config"] == {"seed": 3, "hidden": [4, 2], "compare": False, "csv": None}
    assert {"python", "jax", "jaxlib", "numpy", "optax", "backhand"} <= receipt["versions"].keys()
    assert receipt["device"]["count"] >= 1
    assert receipt["outcome"] == "finished"
    assert receipt["seconds"] == 1.235
    assert str(Path.home()) not in text
    assert str(run.folder.parent) not in text


def experiment(tmp_path, monkeypatch, body, *flags):
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path / "out"), *flags])
    runs.main(Config, body, "a toy")


def outcomes(tmp_path):
    return [json.loads(p.read_text())["outcome"] for p in (tmp_path / "out").glob("*/receipt.json")]


@pytest.mark.parametrize("words", ["--hidden 5 6", "--hidden 5,6", "--hidden=5,6", "--hidden"])
def test_widths_with_and_without_commas(tmp_path, monkeypatch, words):
    seen = []
    experiment(tmp_path, monkeypatch, lambda config, run: seen.append(config.hidden), *words.split())
    assert seen == [(5, 6) if "5" in words else ()]


def test_main_runs_and_leaves_a_receipt(tmp_path, monkeypatch):
    seen = []
    experiment(
        tmp_path,
        monkeypatch,
        lambda config, run: seen.append(config),
        "--seed",
        "7",
        "--hidden",
        "5",
        "6",
        "7",
        "--csv",
        str(tmp_path / "points.csv"),
    )
    assert seen == [Config(tmp_path / "out", 7, (5, 6, 7), csv=tmp_path / "points.csv")]
    assert outcomes(tmp_path) == ["finished"]
    (receipt,) = (tmp_path / "out").glob("*/receipt.json")
    assert json.loads(receipt.read_text())["flags"] == [
        *("--seed", "7", "--hidden", "5", "6", "7", "--csv", "points.csv")
    ]
    assert str(tmp_path) not in receipt.read_text()


def test_main_keeps_what_was_finished(tmp_path, monkeypatch, capsys):
    def body(config, run):
        run.log(epoch=1)
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        experiment(tmp_path, monkeypatch, body)
    assert stop.value.code == 130
    assert "toy: interrupted; what was finished is kept in" in capsys.readouterr().err
    assert outcomes(tmp_path) == ["interrupted"]
    assert len(list((tmp_path / "out").glob("*/metrics.jsonl"))) == 1


def test_main_refuses_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    def body(config, run):
        raise runs.RefusedError("batch_size should be at most 5, got 9")

    with pytest.raises(SystemExit) as stop:
        experiment(tmp_path, monkeypatch, body)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "toy: batch_size should be at most 5, got 9\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_main_shows_a_bug_whole(tmp_path, monkeypatch):
    def body(config, run):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        experiment(tmp_path, monkeypatch, body)
    assert outcomes(tmp_path) == ["failed"]


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "out").write_text("a file is in the way")
    with pytest.raises(SystemExit) as stop:
        experiment(tmp_path, monkeypatch, lambda config, run: pytest.fail("it ran"))
    assert stop.value.code == 2
    assert "can't be written: a file is there, and no folder" in capsys.readouterr().err


def test_a_wrong_flag(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        experiment(tmp_path, monkeypatch, lambda config, run: pytest.fail("it ran"), "--sead", "7")
    assert stop.value.code == 2
    assert "--seed" in capsys.readouterr().err  # what was meant
    assert not (tmp_path / "out").exists()


def test_the_command_that_repeats_a_run(tmp_path):
    assert runs.command("toy", Config()) == runs.command("toy", Config(tmp_path)) == "make toy"
    asked = Config(tmp_path, 4, (16, 8), True, Path("my data.csv"))
    assert (
        runs.command("toy", asked)
        == """make toy SEED="4" HIDDEN="16 8" COMPARE="true" CSV="'my data.csv'\""""
    )


@dataclass(frozen=True)
class Resumable(Config):
    resume: Path | None = None

    def __post_init__(self):
        if self.seed < 0:
            raise ValueError("config: seed should be at least 0")


def test_a_run_that_was_cut_short_is_opened_again(tmp_path):
    cut = runs.Run.start("toy", Resumable(tmp_path, seed=4, hidden=(8,)))
    cut.log(epoch=1)
    again = runs.Run.resume("toy", Resumable(tmp_path, resume=cut.folder), cut.folder)
    assert (again.folder, again.config.seed, again.config.hidden) == (cut.folder, 4, (8,))
    assert again.receipt["config"] == cut.receipt["config"]
    assert again.metrics() == []  # what goes on logs again
    again.log(epoch=1)
    assert again.metrics() == [{"epoch": 1}]
    runs.Run.resume(
        "toy", Resumable(tmp_path, seed=4, resume=cut.folder), cut.folder
    )  # said again, it is the same


def test_going_on_otherwise_than_it_began_is_refused(tmp_path):
    cut = runs.Run.start("toy", Resumable(tmp_path, seed=4))
    with pytest.raises(runs.RefusedError, match=r"seed was 4 in .*, got 5; leave it out to go on"):
        runs.Run.resume("toy", Resumable(tmp_path, seed=5), cut.folder)
    with pytest.raises(runs.RefusedError, match=r"resume should be the folder of a run.*config\.json"):
        runs.Run.resume("toy", Resumable(tmp_path), tmp_path)
    with pytest.raises(runs.RefusedError, match="resume should be the folder of a run of game, got"):
        runs.Run.resume("game", Resumable(tmp_path), cut.folder)
    cut.write("config.json", "{")
    with pytest.raises(runs.RefusedError, match="resume should be the folder of a run"):
        runs.Run.resume("toy", Resumable(tmp_path), cut.folder)
    cut.write("config.json", '{"width": 3}')
    with pytest.raises(runs.RefusedError, match="resume should be the folder of a run of toy"):
        runs.Run.resume("toy", Resumable(tmp_path), cut.folder)


@pytest.mark.parametrize("csv", ["points.csv", "../points.csv", "/somewhere/points.csv"])
def test_a_file_of_the_same_name_may_lie_anywhere(tmp_path, csv):
    cut = runs.Run.start("toy", Resumable(tmp_path, csv=tmp_path / "points.csv"))
    again = runs.Run.resume("toy", Resumable(tmp_path, csv=Path(csv)), cut.folder, ["csv"])
    assert (again.config.csv, again.receipt["config"]["csv"]) == (Path(csv), "points.csv")


def test_what_is_asked_for_no_more_is_refused(tmp_path):
    cut = runs.Run.start("toy", Resumable(tmp_path))
    stored = cut.read_json("config.json")
    cut.write_json("config.json", stored | {"seed": -1, "csv": None})
    with pytest.raises(runs.RefusedError, match="makes no sense now: config: seed should be at least 0"):
        runs.Run.resume("toy", Resumable(tmp_path), cut.folder)


def test_the_receipt_of_what_was_done_before_is_kept(tmp_path):
    run = runs.Run.start("toy", Resumable(tmp_path))
    receipts = []
    for seconds in (3.0, 5.0):
        run.finish("interrupted", seconds)
        receipts.append(run.read_json("receipt.json"))
        run = runs.Run.resume("toy", Resumable(tmp_path), run.folder)
    first, second = run.receipt["earlier"]
    assert (first["seconds"], second["seconds"]) == (3.0, 5.0)
    assert first["outcome"] == "interrupted"
    for earlier, receipt in zip((first, second), receipts, strict=True):
        assert earlier["started"] == receipt["started"]
        assert earlier["versions"] == receipt["versions"]
    assert "earlier" not in second
    assert "seconds 3.0" in dict(run.facts())["earlier"]


def test_a_folder_to_go_on_in_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    cut = runs.Run.start("toy", Resumable(tmp_path))
    (cut.folder / "receipt.json.partial").mkdir()  # root may write anywhere, but not over a folder
    monkeypatch.setattr(sys, "argv", ["toy.py", "--resume", str(cut.folder)])
    with pytest.raises(SystemExit, match="2"):
        runs.main(Resumable, lambda config, run: None, "A toy.")
    assert f"toy: {cut.folder / 'receipt.json'} can't be written: is a directory" in capsys.readouterr().err


def test_a_refused_resume_leaves_the_folder_as_it_was(tmp_path, monkeypatch, capsys):
    cut = runs.Run.start("toy", Resumable(tmp_path))
    cut.data("a" * 64)
    cut.log(epoch=1)
    before = {path.name: path.read_bytes() for path in cut.folder.iterdir()}
    monkeypatch.setattr(sys, "argv", ["toy.py", "--resume", str(cut.folder)])

    def other_data(config, run):
        run.data("b" * 64)

    with pytest.raises(SystemExit, match="2"):
        runs.main(Resumable, other_data, "A toy.")
    assert (
        f"{cut.folder} was begun with other data than now: their SHA-256 was aaa" in capsys.readouterr().err
    )
    assert {path.name: path.read_bytes() for path in cut.folder.iterdir()} == before


def test_checkpoints_of_another_training_are_refused(tmp_path, monkeypatch, capsys):
    cut = runs.Run.start("toy", Resumable(tmp_path))
    saving = cut.checkpoints("net")
    saving.save(1, {}, {}, wait=True)
    saving.close()
    cut.log(epoch=1)
    cut.write_json("config.json", cut.read_json("config.json") | {"seed": 4})
    monkeypatch.setattr(sys, "argv", ["toy.py", "--resume", str(cut.folder)])
    with pytest.raises(SystemExit, match="2"):
        runs.main(Resumable, lambda config, run: run.checkpoints("net").restore(), "A toy.")
    assert "net are of another config: seed was 3, and is 4; begin anew" in capsys.readouterr().err
    assert cut.metrics() == [{"epoch": 1}]


def test_a_run_that_was_killed_has_a_receipt(tmp_path):
    cut = runs.Run.start("toy", Resumable(tmp_path))
    assert cut.read_json("receipt.json")["outcome"] == "running"
    cut.data(["a", "b"])
    for _ in range(2):
        again = runs.Run.resume("toy", Resumable(tmp_path), cut.folder)
        again.data(["a", "b"])
    assert [sitting["outcome"] for sitting in again.receipt["earlier"]] == ["killed", "killed"]
    assert again.read_json("receipt.json")["data_sha256"] == ["a", "b"]


def test_a_run_that_is_finished_is_left_alone(tmp_path):
    done = runs.Run.start("toy", Resumable(tmp_path))
    done.log(epoch=1)
    done.finish("finished", 1.0)
    with pytest.raises(runs.RefusedError, match=f"{done.folder} is finished; nothing is left to do"):
        runs.Run.resume("toy", Resumable(tmp_path), done.folder)
    assert done.read_json("receipt.json")["outcome"] == "finished"
    assert done.metrics() == [{"epoch": 1}]


@pytest.mark.parametrize("flags", ["--seed 3", "--seed=3", "--no-compare"])
def test_a_default_that_is_said_is_meant(tmp_path, monkeypatch, capsys, flags):
    cut = runs.Run.start("toy", Resumable(tmp_path, seed=4, compare=True))
    monkeypatch.setattr(sys, "argv", ["toy.py", "--resume", str(cut.folder), *flags.split()])
    with pytest.raises(SystemExit, match="2"):
        runs.main(Resumable, lambda config, run: pytest.fail("it ran"), "A toy.")
    assert "leave it out to go on" in capsys.readouterr().err
