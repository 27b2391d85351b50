"""The progress line, and what it takes the time left to be."""

import io
import sys
import time

import numpy as np
import pytest

from backhand.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_once_compiling_is_over(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress(10)
    clock[0] = 100.0
    progress.show(1, {"loss": 0.5})
    assert "left" not in terminal.getvalue()
    clock[0] = 102.0
    progress.show(2, {"loss": 0.25})
    assert terminal.getvalue().endswith("epoch 2/10  16 s left  loss 0.2500\x1b[?7h")


def test_no_time_left_is_said_while_no_epoch_passes(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress(10)
    for clock[0] in (1.0, 2.0):
        progress.show(0.5, {})
    assert terminal.getvalue().count("epoch 0.5/10  \x1b[?7h") == 2


def test_time_left_for_all_parts(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress(4, parts=3)
    for part, start in enumerate((0.0, 20.0)):
        clock[0] = start
        progress.begin(part, "1-8-1")
        assert f"{part + 1}/3 1-8-1  compiling" in terminal.getvalue()
        for epoch in (1, 2):
            clock[0] = start + 10 + epoch
            progress.show(epoch, {})
        # 12 s of a part are over and 2 more to come; the parts after it are taken to be like it,
        # or like those before it.
        expected = 2 + 2 * 14 if part == 0 else 2 + 20
        assert f"  {expected} s left" in terminal.getvalue()


def test_scores_are_means_and_large_arrays_are_left_out(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    scores = {"loss": np.array([1.0, 2.0]), "curve": np.ones(100), "val_loss": np.float32(0.25)}
    Progress(2, "net", unit="draw").show(1.5, scores)
    line = "net  draw 1.5/2  loss 1.5000  val_loss 0.2500"
    assert terminal.getvalue() == f"\r\x1b[K\x1b[?7l{line}\x1b[?7h"


def test_nothing_in_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    progress = Progress(2, "net", parts=2)
    progress.begin(1, "other")
    progress.show(1, {"loss": 1.0})
    progress.show(2, {"loss": 1.0})
    progress.clear()
    assert file.getvalue() == ""


def test_time_left_if_parts_differ_and_some_are_done(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress(1, parts=4, work=[9.0, 1.0, 3.0, 2.0])
    progress.begin(1, "small", epochs=2)  # the first part was done before
    clock[0] = 10.0
    progress.begin(2, "large", epochs=4)
    clock[0] = 18.0
    progress.show(1, {})
    clock[0] = 24.0
    progress.show(2, {})
    # 12 s in this part, and 10 for each unit of work to come.
    assert "3/4 large  epoch 2/4  32 s left" in terminal.getvalue()
