"""Ctrl-C and SIGTERM as a run starts, saves and ends: none is lost or half begun."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from backhand import runs
from backhand.reporting import Report, Table
from backhand.runs.command_line import Signals
from backhand.storage.checkpoints import Checkpoint
from tests.runs.toys import files

FRAME = str(Path(runs.__file__).parent), str(Path(runs.__file__).parents[1] / "storage")


def train(run):
    saved = run.checkpoints("net")
    if saved.newest() is None:
        saved.save(Checkpoint(1, {"w": np.ones(2)}, {}), wait=True)
    run.keep("net", {"w": saved.newest().arrays["w"]}, test=0.5)


def report(config, run):
    return Report("A toy", "It went well.", "", [], Table(("net",), [(name,) for name in run.kept]))


class At:
    """Raises a signal as the n-th line of the frame is about to run, in the main thread."""

    def __init__(self, number: int, n: int) -> None:
        self.number, self.n, self.lines = number, n, 0

    def __enter__(self) -> "At":
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(FRAME):
            return None
        ours = getattr(signal.getsignal(self.number), "__self__", None)
        if event == "line" and isinstance(ours, Signals):
            self.lines += 1
            if self.lines == self.n:
                signal.raise_signal(self.number)
        return self.trace


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file left open
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_at_every_third_line(toy, tmp_path, monkeypatch, number, status):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setattr("backhand.runs.folder.begun", lambda name, settings: {"config": settings})
    wanted = files(toy(train, report=report).folder)
    n, seen = number % 3, set()  # of each signal other lines
    while True:
        n += 3
        before = set((tmp_path / "out" / "toy").iterdir())
        with At(number, n) as at:
            ended = toy(train, report=report)
        (*made,) = set((tmp_path / "out" / "toy").iterdir()) - before
        if at.lines < n:
            break
        assert ended.error is None, (n, ended)
        assert ended.status in (0, status), (n, ended)
        for folder in made:
            outcome = json.loads((folder / "receipt.json").read_text())["outcome"]
            assert outcome == ("finished" if ended.status == 0 else "interrupted"), (n, ended)
            if outcome == "interrupted":
                again = toy(train, "--resume", folder, report=report)
                assert (again.status, again.error) == (0, None), (n, again)
            got = files(folder)
            for name in wanted.keys() - {"receipt.json", "report.html"}:
                assert got[name] == wanted[name], (n, name)
            seen.add(outcome)
    assert n > 250
    assert seen == {"finished", "interrupted"}
