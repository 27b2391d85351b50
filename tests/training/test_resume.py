"""A training that was killed, interrupted or refused, and what its checkpoints make of that."""

import errno
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.storage import Checkpoints, MismatchError, checkpoints
from backhand.training import NonFiniteError, loop
from tests.training.small import (
    BATCHES,
    DIVERGING,
    EARLY,
    EPOCHS,
    RECORDED,
    START,
    STARTS,
    VALIDATION,
    Calls,
    X,
    Y,
    bits,
    fitted,
    key,
    norms,
    variant,
)

STEPS = EPOCHS * BATCHES


class Killed(BaseException):
    """What ends a training as a power cut would."""


class Stopped(Checkpoints):
    """Writes one after each call, and is killed as it is about to write one more than allowed."""

    def __init__(self, folder, allowed=10**9):
        super().__init__(folder)
        self.allowed = allowed

    def due(self):
        return True

    def save(self, checkpoint, wait=False):  # noqa: ARG002
        if self.allowed == 0:
            raise Killed
        self.allowed -= 1
        super().save(checkpoint, wait=True)


@pytest.fixture
def single_steps(monkeypatch):
    monkeypatch.setattr(loop, "CALL", 0.0)


def noisy():
    """An optimizer with a key in its state."""
    return optax.chain(optax.add_noise(0.1, 0.5, 1), optax.sgd(0.1))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="one net"),
        pytest.param({"state": STARTS} | RECORDED, id="many nets, all recorded"),
        pytest.param(RECORDED, id="one net, all recorded", marks=pytest.mark.slow),
        pytest.param(
            {"training": variant(optimizer=noisy()), "key": 0},
            id="an optimizer's key",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_and_resumed_it_ends_the_same(tmp_path, options, single_steps):
    """Killed after the first step, in an epoch, at its end, after that, and after the last step."""

    def run(checkpoints=None, **more):
        new = {"key": key()} if "key" in options else {}  # no key is used twice
        return bits(fitted(checkpoints=checkpoints, **options | new | more))

    uninterrupted = run()
    before = 0
    for step in (1, 3, BATCHES, BATCHES + 1, STEPS):
        with pytest.raises(Killed):
            run(Stopped(tmp_path, step - before))
        assert Checkpoints(tmp_path).newest().step == step
        before = step
    for _ in range(2):
        assert (
            run(again := Stopped(tmp_path), progress=(progress := Calls(EPOCHS))) == uninterrupted
        )
        assert again.latest.step == STEPS
        assert progress.told == []  # it is known to be done


def test_early_stopping_resumes_with_the_best_it_had(tmp_path):
    state, history = fitted(**EARLY, patience=3)
    epochs = len(history["loss"])
    assert epochs < EARLY["epochs"]
    progress = Calls(EARLY["epochs"])
    with pytest.raises(Killed):
        fitted(**EARLY, patience=3, checkpoints=Stopped(tmp_path, epochs - 2))
    for more in (True, False):
        again = fitted(**EARLY, patience=3, checkpoints=Stopped(tmp_path), progress=progress)
        assert bits(again) == bits((state, history))
        assert bool(progress.told) is more
        progress.told.clear()
    # A longer patience resumes what a shorter one stopped.
    _, longer = fitted(**EARLY, patience=4, checkpoints=Stopped(tmp_path))
    assert len(longer["loss"]) > epochs


def test_epochs_done_before_call_no_on_epoch(tmp_path):
    fitted(checkpoints=Checkpoints(tmp_path), epochs=2)
    seen = []
    fitted(checkpoints=Checkpoints(tmp_path), on_epoch=lambda _, record: seen.append(record))
    assert [record["epoch"] for record in seen] == [3, 4]


def test_more_epochs_from_a_later_state(tmp_path):
    """Checkpoints are named by the state's step, wherever the training began."""
    half, _ = fitted(epochs=2)
    whole, _ = fitted()
    fitted(state=half, epochs=1, checkpoints=Checkpoints(tmp_path))
    state, history = fitted(state=half, epochs=2, checkpoints=(end := Checkpoints(tmp_path)))
    assert bits(state) == bits(whole)
    assert len(history["loss"]) == 2
    assert end.latest.step == int(whole.step) == STEPS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_writes_a_checkpoint_first(tmp_path, number, single_steps, monkeypatch):
    heard = []

    def handler(*args):
        heard.append(args[0])
        raise KeyboardInterrupt

    call, calls = loop.Loop._call, []

    def asked(self, limit):
        calls.append(limit)
        if len(calls) == 11:
            signal.raise_signal(number)  # amid a step of the second epoch
            assert heard == []
        return call(self, limit)

    before = signal.signal(number, handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(loop.Loop, "_call", asked)
            with pytest.raises(KeyboardInterrupt):
                fitted(checkpoints=Checkpoints(tmp_path))
        assert heard == [number]
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert Checkpoints(tmp_path).newest().step == 11
    assert bits(fitted(checkpoints=Checkpoints(tmp_path))) == bits(fitted())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    fitted(checkpoints=Checkpoints(folder, {"rate": 0.1, "hidden": [4]}), epochs=2)
    return folder


OTHER_NET = variant(net=bh.serial(bh.linear(6), bh.sigmoid, bh.linear(3)))
X_BUT_ONE = X.copy()
X_BUT_ONE[-1, -1] += 1
F = np.zeros((50, 3))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 8}, "a different training: batch_size was 7, and is 8"),
        ({"key": 1}, r"a different training: .*; key was \["),
        ({"train": (X_BUT_ONE, Y)}, "a different training: train x was '"),
        ({"train": (X, (Y + 1) % 3)}, "a different training: train y was '"),
        ({"validation": VALIDATION}, "scored was .*; validation x was None, and is '"),
        ({"score_train": True}, r"training: scored was \[\], and is \['train'\]"),
        ({"observe": norms}, "training: observe was None, and is '"),
        ({"metrics": [bh.accuracy]}, "training: metric accuracy was None, and is '"),
        ({"validation": VALIDATION, "patience": 2}, "patience was False, and is True"),
        ({"state": START._replace(step=jnp.int32(7))}, "training: begins was 0, and is 7"),
        ({"epochs": 1}, "2 epochs, more than epochs, 1"),
        ({"training": OTHER_NET, "key": 0}, "training: .*gradient was .*; net was"),
        ({"training": variant(loss=bh.squared_error), "train": (X, F), "key": 0}, "; loss was '"),
        ({"training": variant(gradient=bh.autodiff), "key": 0}, "a different training: gradient"),
        (
            {"training": variant(optimizer=optax.sgd(0.05, momentum=0.9)), "key": 0},
            "a different training: optimizer was '",
        ),
        ({"config": {"rate": 0.2, "seed": 3}}, "config: hidden was .4., and is None; rate was"),
    ],
)  # fmt: skip
def test_checkpoints_of_a_different_training_are_refused(written, options, says):
    before = sorted((path.name, path.read_bytes()) for path in written.iterdir())
    options = {"config": {"rate": 0.1, "hidden": [4]}} | options
    if "key" in options:
        options["key"] = jax.random.key(options["key"])
    with pytest.raises(MismatchError, match=f"in {written} belong to .*{says}"):
        fitted(checkpoints=Checkpoints(written, options.pop("config")), **options)
    assert sorted((path.name, path.read_bytes()) for path in written.iterdir()) == before


def test_many_nets_do_not_resume_one(tmp_path):
    fitted(state=STARTS, **RECORDED, epochs=1, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(MismatchError, match="key was"):
        fitted(**RECORDED, checkpoints=Checkpoints(tmp_path))


def test_a_metric_or_validation_set_that_changed_is_refused(tmp_path):
    def accuracy(prediction, target):
        return bh.zero_one(prediction, target)

    x, y = VALIDATION
    fitted(validation=(x, y), metrics=[bh.accuracy], checkpoints=Checkpoints(tmp_path), epochs=1)
    with pytest.raises(MismatchError, match="training: metric accuracy was '"):
        fitted(validation=(x, y), metrics=[accuracy], checkpoints=Checkpoints(tmp_path))
    with pytest.raises(MismatchError, match="training: validation y was '"):
        fitted(
            validation=(x, y[::-1].copy()), metrics=[bh.accuracy], checkpoints=Checkpoints(tmp_path)
        )


@pytest.mark.slow
def test_a_training_that_diverges_keeps_its_checkpoints(tmp_path, single_steps):
    for _ in range(2):
        with pytest.raises(NonFiniteError, match="stopped after epoch 30"):
            fitted(**DIVERGING, key=key(), checkpoints=Stopped(tmp_path))
        assert Checkpoints(tmp_path).newest().step == 29


def test_a_checkpoint_that_cannot_be_written_is_said_with_its_name(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"Not a directory: '.*file/a'"):
        fitted(checkpoints=Checkpoints(tmp_path / "file" / "a"))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    fitted(checkpoints=Checkpoints(tmp_path / "b"), epochs=1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*b/14\.safetensors'"):
        fitted(checkpoints=Checkpoints(tmp_path / "b"), epochs=2)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["7.safetensors"]


def test_a_damaged_checkpoint_costs_no_more_than_the_steps_since_the_one_before(
    tmp_path, single_steps
):
    with pytest.raises(Killed):
        fitted(checkpoints=Stopped(tmp_path, 10))
    content = bytearray((tmp_path / "10.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "10.safetensors").write_bytes(content)
    with pytest.warns(UserWarning, match=r"10\.safetensors is damaged"):
        end = fitted(checkpoints=Stopped(tmp_path))
    assert bits(end) == bits(fitted())


def test_checkpoints_are_written_when_they_are_due(tmp_path, single_steps, monkeypatch):
    """After steps 5 and 6 it is time for the next one, and at the end one is always written."""
    steps = []

    class Due(Checkpoints):
        def due(self):
            steps.append(len(steps) + 1)
            return steps[-1] in (5, 6)

    monkeypatch.setattr(checkpoints, "KEEP", 100)
    fitted(checkpoints=Due(tmp_path))
    assert len(steps) == STEPS
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == [5, 6, STEPS]
