"""Runs that are killed as a training goes on, and gone on with: they end as if nothing had happened."""

import numpy as np
import pytest

from backhand import data, runs
from backhand.runs.trainings import TrainingCheckpoints
from backhand.training import loop
from experiments import lab, lecun, mnist, overfitting, planar, regression

CONFIGS = {
    "lab": (lab, {"hidden": (8,), "epochs": 2, "batch_size": 400}),
    "mnist": (mnist, {"dataset": "digits", "hidden": (4,), "activations": ("relu",), "seeds": 2, "epochs": 2,
                      "batch_size": 400}),
    "planar": (planar, {"hidden": (4,), "epochs": 5, "seeds": 2, "size": 60}),
    "regression": (regression, {"hidden": (4,), "losses": ("huber",), "epochs": 5, "seeds": 2, "size": 40}),
    "overfitting": (overfitting, {"widths": (2, 4), "depths": (1,), "sizes": (10,), "resamples": 3, "epochs": 60,
                                  "batch_size": 10, "held_out": 20}),
    "lecun": (lecun, {"rows": ("linear",), "seeds": 2, "epochs": 3}),
}  # fmt: skip


def few_pictures(*_):
    rng = np.random.default_rng(0)
    counts = {"train": 290, "validation": 110, "test": 40}
    splits = {
        name: data.Split(rng.random((count, 784), np.float32), np.arange(count, dtype=np.int32) % 10)
        for name, count in counts.items()
    }
    return data.Dataset("mnist", splits, tuple("0123456789"), (28, 28))


def contents(run):
    """All that a run left, but what tells of time and machine."""
    files = {
        path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*") if path.is_file()
    }
    assert not [name for name in files if name.startswith("checkpoints") or name.endswith(".partial")]
    timed = {"receipt.json", "report.html", "nets.json", "results.json"} if run.receipt["experiment"] == "lecun" else {
        "receipt.json", "report.html"
    }  # fmt: skip
    return {name: path.read_bytes() for name, path in files.items() if name not in timed}


@pytest.mark.parametrize("name", CONFIGS)
def test_killed_at_any_checkpoint_and_gone_on_with(tmp_path, monkeypatch, name):
    experiment, settings = CONFIGS[name]
    monkeypatch.setattr(data, "tfds", few_pictures)
    monkeypatch.setattr(loop, "CHUNK", 0.0)
    monkeypatch.setattr(TrainingCheckpoints, "due", lambda self: True)
    drawn = "report_on_curves" if name == "regression" else "write_report"  # is not at stake
    monkeypatch.setattr(experiment, drawn, lambda config, run, *_: run.folder)
    save, calls = TrainingCheckpoints.save, []

    def counted(self, *args, **options):
        if (deadline := calls.append(None) or len(calls)) == killed_at:
            raise SystemExit(deadline)
        save(self, *args, **options)

    monkeypatch.setattr(TrainingCheckpoints, "save", counted)
    killed_at = 0
    whole = runs.Run.start(name, experiment.Config(**settings, out=tmp_path))
    experiment.run(whole.config, whole)
    whole.finish("finished", 1.0)
    total = len(calls)
    assert total > 5
    for moment in (total // 2, total):
        killed_at = moment
        calls.clear()
        cut = runs.Run.start(name, experiment.Config(**settings, out=tmp_path))
        with pytest.raises(SystemExit):
            experiment.run(cut.config, cut)
        cut.finish("interrupted", 1.0)
        resumed = type(cut.config)(resume=cut.folder)
        again = runs.Run.resume(name, resumed, cut.folder)
        experiment.run(again.config, again)
        again.finish("finished", 1.0)
        assert contents(again) == contents(whole)
        for key in ("params_sha256", "metrics_sha256", "trainings", "data_sha256"):
            assert again.receipt[key] == whole.receipt[key]
        assert "opt_state_sha256" in next(iter(again.receipt["trainings"].values()))
