import dataclasses
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backhand import Linear, plots, runs
from backhand.storage import parameters
from backhand.storage.checkpoints import Checkpoint
from backhand.storage.digests import sha256
from tests.runs.toys import Config, files


@pytest.fixture
def run(tmp_path):
    return runs.Run.start("toy", Config(3, tmp_path))


def resumed(run, **settings):
    return runs.Run.resume("toy", dataclasses.replace(run.config, **settings), run.folder)


def metrics(run):
    run.finish("interrupted", 1.0)
    return [json.loads(line) for line in files(run.folder)["metrics.jsonl"].splitlines()]


def test_start_makes_a_folder_and_writes_the_config(run, tmp_path):
    assert run.folder.parent == tmp_path / "toy"
    stored = {"seed": 3, "hidden": [4, 2], "compare": False, "csv": None}
    assert json.loads(files(run.folder)["config.json"]) == stored
    assert run.read_json("receipt.json")["outcome"] == "running"


def test_runs_started_at_once_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("backhand.runs.folder.begun", lambda name, settings: {"config": settings})
    with ThreadPoolExecutor(8) as threads:
        started = list(
            threads.map(lambda _: runs.Run.start("toy", Config(out=tmp_path)), range(40))
        )
    assert len({run.folder for run in started}) == len(list((tmp_path / "toy").iterdir())) == 40


def test_records_are_lines_of_json(run):
    run.log(epoch=1, loss=0.5, max_w=[1.0, np.float32(2.0)])
    run.log(epoch=2, loss=math.nan, max_w=np.array([math.inf, 1.0]))
    assert metrics(run) == [
        {"epoch": 1, "loss": 0.5, "max_w": [1.0, 2.0]},
        {"epoch": 2, "loss": None, "max_w": [None, 1.0]},
    ]


def test_json_files(run):
    run.write_json("results.json", {"a": [math.inf, 1, Path("/elsewhere/b.csv")]})
    assert run.read_json("results.json") == {"a": [None, 1, "b.csv"]}


def test_a_net_of_several_seeds_is_kept(run):
    params = Linear(np.ones((2, 3, 2), np.float32), np.zeros((2, 2), np.float32))
    history = {
        "loss": np.array([[3.0, 2.0, 1.0], [3.5, 2.5, 1.5]]),
        "max_w": np.ones((2, 3, 32)),
        "units": np.zeros((2, 3, 33)),
    }
    outputs = np.arange(65)
    kept = run.keep("3-2", params, history, test=np.array([0.5, 0.25]), outputs=outputs, seconds=2)
    assert run.kept == {"3-2": kept}
    assert kept.facts["outputs"] is outputs
    assert [record["epoch"] for record in metrics(run)] == [1, 2, 3]
    assert metrics(run)[1] == {
        "net": "3-2", "epoch": 2, "loss": [2.0, 2.5], "max_w": [[1.0] * 32] * 2
    }  # fmt: skip
    run.keep("without params", answer="yes")
    run.save_kept()
    assert run.read_json("results.json") == {
        "3-2": {"test": [0.5, 0.25], "seconds": 2}, "without params": {"answer": "yes"}
    }  # fmt: skip
    arrays, _ = parameters.read(run.folder / "arrays.safetensors")
    assert arrays.keys() == {"3-2.units", "3-2.outputs"}
    np.testing.assert_array_equal(arrays["3-2.outputs"], outputs)
    arrays, config = parameters.read(run.folder / "params.safetensors")
    assert arrays.keys() == {"3-2.w", "3-2.b"}
    assert config == run.receipt["config"]
    assert run.receipt["params_sha256"] == sha256(arrays)


def test_the_history_of_one_net_is_kept(run):
    run.keep("net", history={"loss": np.array([2.0, 1.0]), "max_w": np.ones((2, 3))})
    assert metrics(run)[1] == {"net": "net", "epoch": 2, "loss": 1.0, "max_w": [1.0, 1.0, 1.0]}


def test_a_name_is_kept_once(run):
    run.keep("net")
    with pytest.raises(ValueError, match="keep: name should be new, got 'net' again"):
        run.keep("net")


def test_a_figure_is_kept_and_shown(run):
    drawing = plots.curves({"train": [2.0, 1.0]}, "loss", "nats")
    assert run.figure("loss", drawing, wide=True) == drawing.html(wide=True)
    assert files(run.folder)["figures/loss.svg"].decode() == drawing.svg


def test_the_receipt_says_how_trainings_ended(run):
    for name, step in {"first": 7, "second": 8}.items():
        state = {"state.params.w": np.ones(step), "state.opt_state.m": np.zeros(2)}
        checkpoint = Checkpoint(step, state | {"losses": np.ones(1)}, {})
        run.checkpoints(name).save(checkpoint, wait=True)
    run.checkpoints("not begun")
    assert (run.folder / "checkpoints" / "first").is_dir()
    run.finish("finished", 1.0)
    assert not (run.folder / "checkpoints").exists()
    trainings = run.read_json("receipt.json")["trainings"]
    assert list(trainings) == ["first", "second"]
    assert trainings["first"] == {
        "step": 7,
        "params_sha256": sha256({"state.params.w": np.ones(7)}),
        "opt_state_sha256": sha256({"state.opt_state.m": np.zeros(2)}),
    }


@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/a.txt", "figures/../../a.txt", "link/a.txt", "", "."]
)
def test_names_stay_in_the_folder(run, name):
    (run.folder / "link").symlink_to(run.folder.parent)
    for use in (run.read_json, run.checkpoints, lambda name: run.write(name, "a")):
        if use != run.checkpoints or "link" in name:
            with pytest.raises(ValueError, match="name should be that of a file in the run's"):
                use(f"../{name}" if use == run.checkpoints else name)
    assert not (run.folder.parent / "a.txt").exists()


def test_a_stopped_run_is_resumed_with_its_settings(cut):
    run = cut(lambda run: run.log(epoch=1), seed=4, hidden=(8,))
    again = resumed(run)
    assert (again.folder, again.config) == (run.folder, run.config)
    assert again.receipt["config"] == run.receipt["config"]
    again.log(epoch=2)
    assert metrics(again) == [{"epoch": 2}]  # they begin anew


def test_other_settings_are_refused(cut, tmp_path):
    run = cut(seed=4)
    with pytest.raises(runs.RefusedError, match=r"seed was 4 in .*, got 5; leave it out to resume"):
        resumed(run, seed=5)
    with pytest.raises(runs.RefusedError, match="resume should be the folder of a run of game"):
        runs.Run.resume("game", Config(), run.folder)
    with pytest.raises(runs.RefusedError, match=r"resume should be the folder of a run, .*config"):
        runs.Run.resume("toy", Config(), tmp_path)
    for content in ("{", "[]", '{"width": 3}'):
        run.write("config.json", content)
        with pytest.raises(runs.RefusedError, match="resume should be the folder of a run"):
            resumed(run)


@pytest.mark.parametrize("csv", ["points.csv", "../points.csv", "/somewhere/points.csv"])
def test_a_file_of_the_same_name_may_lie_anywhere(cut, csv):
    again = resumed(cut(csv=Path("/elsewhere/points.csv")), csv=Path(csv))
    assert (again.config.csv, again.receipt["config"]["csv"]) == (Path(csv), "points.csv")


def test_the_receipts_of_earlier_processes_are_kept(cut):
    run = cut(lambda run: run.data(["a", "b"]))
    former = run.read_json("receipt.json")
    again = resumed(run)
    again.data(["a", "b"])
    again._unlock()  # as if it were killed
    first, second = resumed(run).receipt["earlier"]
    assert (first["outcome"], second["outcome"]) == ("interrupted", "killed")
    assert (first["seconds"], first["started"]) == (1.0, former["started"])
    assert first["versions"] == former["versions"]
    assert not {"earlier", "config", "data_sha256"} & second.keys()
    assert run.read_json("receipt.json")["data_sha256"] == ["a", "b"]
    with pytest.raises(runs.RefusedError, match="was started with different data: SHA-256"):
        again.data("c")


def test_a_finished_run_is_left_alone(cut):
    run = cut(lambda run: run.log(epoch=1))
    run.finish("finished", 1.0)
    before = files(run.folder)
    with pytest.raises(runs.RefusedError, match=f"{run.folder} is finished; nothing is left to do"):
        resumed(run)
    assert files(run.folder) == before


# Another process, light and without JAX, that has the run open.
OTHER = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="the system has no such locks")
def test_one_process_at_a_time_and_a_killed_one_lets_go(cut):
    run = cut()
    command = [sys.executable, "-c", OTHER, str(run.folder / "config.json")]
    before = files(run.folder)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        other.stdout.readline()
        with pytest.raises(runs.RefusedError, match=f"{run.folder}: the run is still running"):
            resumed(run)
        other.kill()
    assert files(run.folder) == before
    again = resumed(run)
    with pytest.raises(runs.RefusedError, match="still running, in another process"):
        resumed(run)
    del again
    resumed(run)


def test_a_file_system_without_locks(cut, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks")

    monkeypatch.setattr("fcntl.flock", unsupported)
    resumed(cut())
