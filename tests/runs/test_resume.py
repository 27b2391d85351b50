"""A run that is killed at a checkpoint and resumed ends as if nothing had happened, bit for bit."""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import backhand as bh
from backhand import runs
from backhand.models import perceptron
from backhand.storage.checkpoints import Checkpoints
from backhand.training import loop
from tests.runs.toys import files

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 2)).astype(np.float32), RNG.integers(0, 2, 12).astype(np.int32)
TRAINING = bh.Training(perceptron((3,), 2, "tanh"), bh.softmax_cross_entropy, optax.adam(0.1))


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    epochs: int = 2


def train(config, run):
    keys = jax.random.split(jax.random.key(config.seed), 3)
    for name, own in {"one": keys[0], "two": keys[1:]}.items():
        state, history = bh.fit(
            TRAINING, (X, Y), key=own, epochs=config.epochs, batch_size=4,
            observe=observe, checkpoints=run.checkpoints(name),
        )  # fmt: skip
        run.keep(name, state.params, history, loss=history["loss"][..., -1])


def observe(params):
    return {"max_w": jax.numpy.abs(params[0].w).max()}


@pytest.fixture
def count_down(monkeypatch):
    """Checkpoints after every step; a list that, while it is not empty, loses an item at each.

    The process is killed, as it were, when the last is gone.
    """
    left: list[int] = []
    save = Checkpoints.save

    def counted(self, checkpoint, **options):
        if left and left.pop() == 0:
            raise SystemExit("killed")
        save(self, checkpoint, **options)

    monkeypatch.setattr(loop, "CALL", 0.0)
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)
    monkeypatch.setattr(Checkpoints, "save", counted)
    return left


def test_killed_at_any_checkpoint_and_resumed(tmp_path, count_down):
    whole = runs.Run.start("toy", Config(out=tmp_path))
    count_down += [1] * 1000
    train(whole.config, whole)
    total = 1000 - len(count_down)
    whole.save_kept()
    whole.finish("finished", 1.0)
    assert total > 8
    wanted = files(whole.folder)
    assert len(wanted["metrics.jsonl"].splitlines()) == 2 * whole.config.epochs
    for moment in (1, total // 2, total):
        killed = runs.Run.start("toy", Config(out=tmp_path))
        count_down[:] = [0, *[1] * (moment - 1)]
        with pytest.raises(SystemExit, match="killed"):
            train(killed.config, killed)
        killed.finish("interrupted", 1.0)
        again = runs.Run.resume("toy", Config(out=Path("elsewhere")), killed.folder)
        train(again.config, again)
        again.save_kept()
        again.finish("finished", 1.0)
        found = files(again.folder)
        assert found | {"receipt.json": b""} == wanted | {"receipt.json": b""}
        for key in ("params_sha256", "files", "trainings"):
            assert again.receipt[key] == whole.receipt[key]
    assert whole.receipt["trainings"]["two"].keys() == {
        "step", "params_sha256", "opt_state_sha256"
    }  # fmt: skip
    assert whole.receipt["trainings"]["two"]["step"] == 6
