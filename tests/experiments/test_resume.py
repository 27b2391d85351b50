"""Every experiment that trains, killed at a checkpoint and resumed: it ends as if never stopped."""

import sys
from importlib import import_module

import numpy as np
import pytest

from backhand import data, runs
from backhand.storage.checkpoints import Checkpoints
from backhand.training import loop

FLAGS = {
    "lab": "--hidden 8 --epochs 2 --batch-size 400",
    "mnist": "--dataset digits --hidden 4 --activations relu --seeds 2 --epochs 2 --batch-size 400",
    "planar": "--hidden 4 --epochs 5 --seeds 2 --size 60",
    "regression": "--hidden 4 --losses huber --epochs 5 --seeds 2 --size 40",
    "diabetes": "--hidden 4 --epochs 2",
    "overfitting": "--widths 2 4 --depths 1 --sizes 10 --resamples 3 --epochs 9 --batch-size 10 "
    "--held-out 20",
    "lecun": "--rows linear --seeds 2 --epochs 3",
}


def few_pictures(*_):
    rng = np.random.default_rng(0)
    counts = {"train": 290, "validation": 110, "test": 40}
    splits = {
        name: data.Split(rng.random((n, 784), np.float32), np.arange(n, dtype=np.int32) % 10)
        for name, n in counts.items()
    }
    return data.Dataset("mnist", splits, tuple("0123456789"), (28, 28))


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAGS)
def test_killed_at_a_checkpoint_and_resumed(tmp_path, monkeypatch, name):
    experiment = import_module(f"experiments.{name}")
    left: list[int] = []
    save, saved = Checkpoints.save, []

    def counted(self, checkpoint, **options):
        saved.append(checkpoint.step)
        if len(saved) in left:
            raise SystemExit("killed")
        save(self, checkpoint, **options)

    def carry_out(*flags):
        saved.clear()
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--out", str(tmp_path), *flags])
        load = getattr(experiment, "load", lambda config: data.diabetes())
        runs.main(experiment.Config, experiment.train, load=load, description="")

    def newest():
        return max((tmp_path / name).iterdir(), key=lambda path: path.stat().st_mtime_ns)

    monkeypatch.setattr(data, "tfds", few_pictures)
    monkeypatch.setattr(loop, "CALL", 0.0)
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)
    monkeypatch.setattr(Checkpoints, "save", counted)
    carry_out(*FLAGS[name].split())
    whole, total = newest(), len(saved)
    assert total > 5
    for moment in (total // 2, total):
        left[:] = [moment]
        with pytest.raises(SystemExit, match="killed"):
            carry_out(*FLAGS[name].split())
        left.clear()
        killed = newest()
        assert killed != whole
        carry_out("--resume", str(killed))
        assert (found := runs.diff(whole, killed)).same, str(found)
