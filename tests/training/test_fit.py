import io
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from backhand import (
    accuracy,
    cross_entropy,
    evaluate,
    fit,
    init_state,
    linear,
    make_epoch,
    make_step,
    manual,
    serial,
    softmax_cross_entropy,
    squared_error,
    tanh,
)
from backhand.training.nonfinite import NonFiniteError
from backhand.training.progress import Progress
from tests.trees import same_bits

fit_module = sys.modules["backhand.training.fit"]  # backhand.training.fit itself is the function

NET = serial(linear(8), tanh, linear(2))
LOSS = softmax_cross_entropy
ADAM = optax.adam(3e-2)
rng = np.random.default_rng(0)
X = rng.standard_normal((100, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
TRAIN, VALIDATION = (X[:80], Y[:80]), (X[80:], Y[80:])


def run(**changes):
    optimizer = changes.pop("optimizer", ADAM)
    settings = {
        "state": init_state(jax.random.key(0), NET, optimizer, X),
        "step": make_step(manual(NET, LOSS), optimizer),
        "train": TRAIN,
        "net": NET,
        "loss": LOSS,
        "epochs": 3,
        "batch_size": 16,
        "validation": VALIDATION,
        "metrics": [accuracy],
    } | changes
    return fit(settings.pop("state"), settings.pop("step"), settings.pop("train"), **settings)


def test_it_learns_what_no_line_can():
    _, history = run(epochs=60)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(scores) == 60 for scores in history.values())
    assert history["accuracy"][-1] >= 0.95
    assert history["val_accuracy"][-1] >= 0.9
    assert history["loss"][-1] < history["loss"][0] / 2


def test_it_is_its_epochs():
    state, history = run(epochs=2)
    epoch = make_epoch(make_step(manual(NET, LOSS), ADAM), 16)
    other = init_state(jax.random.key(0), NET, ADAM, X)
    for _ in range(2):
        other, _ = epoch(other, *map(jnp.asarray, TRAIN))
    assert same_bits(state.params, other.params)
    assert history["val_loss"][-1] == evaluate(NET, LOSS, other.params, *VALIDATION)["loss"]


def test_a_seed_repeats():
    (a, history_a), (b, history_b) = run(), run()
    assert same_bits(a.params, b.params)
    assert history_a == history_b


def test_the_state_it_was_given_is_left_as_it_was():
    state = init_state(jax.random.key(0), NET, ADAM, X)
    before = jax.tree.map(np.array, state.params)
    run(state=state)
    assert same_bits(state.params, before)


def test_without_validation_or_metrics():
    _, history = run(validation=None, metrics=())
    assert list(history) == ["loss"]


def test_early_stopping_returns_the_best():
    seen = []
    rates = optax.adam(
        optax.piecewise_constant_schedule(0.1, {20: 30.0})
    )  # learns for 4 epochs, then breaks down
    state, history = run(
        epochs=50,
        patience=3,
        optimizer=rates,
        on_epoch=lambda state, scores: seen.append(jax.tree.map(np.array, state.params)),
    )
    best = int(np.argmin(history["val_loss"]))
    assert len(history["val_loss"]) == best + 1 + 3 < 50
    assert same_bits(state.params, seen[best])
    assert evaluate(NET, LOSS, state.params, *VALIDATION)["loss"] == min(history["val_loss"])


def test_a_score_that_is_not_finite_stops_it(monkeypatch):
    real = fit_module.score

    def score(*args):
        return real(*args) | ({"loss": math.nan} if len(args[3]) == 20 else {})  # of the validation set

    monkeypatch.setattr(fit_module, "score", score)
    with pytest.raises(NonFiniteError, match="scored on all of validation: in training, by forward"):
        run(epochs=7)


def test_on_epoch_sees_each_epoch():
    seen = []
    _, history = run(on_epoch=lambda state, scores: seen.append((int(state.step), scores)))
    assert [step for step, _ in seen] == [5, 10, 15]
    assert [scores["epoch"] for _, scores in seen] == [1, 2, 3]
    assert [scores["val_accuracy"] for _, scores in seen] == history["val_accuracy"]


def test_quiet_without_a_terminal(capsys):
    run()
    assert capsys.readouterr() == ("", "")


def test_one_progress_for_several_trainings():
    class Told(Progress):
        def show(self, epoch, scores):
            told.append((epoch, list(scores)))

    told = []
    run(progress=Told(3, parts=2))
    assert told == [(epoch, ["loss", "accuracy", "val_loss", "val_accuracy"]) for epoch in (1, 2, 3)]


def test_progress_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    run()
    assert "epoch 3/3  0 s left  loss 0." in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")  # the line is taken away again


def by_example(prediction, target):
    return prediction[:, 0]


def bad(name, value, error, says):
    return pytest.param(name, value, error, says, id=f"{name}: {says}")


def poisoned(value):
    x = TRAIN[0].copy()
    x[3, 1] = value
    return x, TRAIN[1]


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        bad(
            "state",
            init_state(jax.random.key(0), NET, optax.sgd(0.1), X),
            ValueError,
            "made with one optimizer",
        ),
        bad(
            "step", 3, TypeError, r"step should be a function such as make_step\(gradient, optimizer\), got 3"
        ),
        bad("on_epoch", 3, TypeError, "on_epoch should be a function, got 3"),
        bad("metrics", accuracy, TypeError, r"a list of named functions such as \[accuracy\]"),
        bad(
            "metrics",
            [accuracy, accuracy],
            ValueError,
            "names of their own, other than loss, got accuracy, accuracy",
        ),
        bad(
            "metrics",
            [by_example],
            ValueError,
            r"metric by_example should give one number, got shape \(80,\)",
        ),
        bad("state", "state", TypeError, "should be a TrainState, from init_state, got str"),
        bad("net", linear, TypeError, "should be a Layer"),
        bad("loss", "mse", TypeError, "should be a Loss such as softmax_cross_entropy, got 'mse'"),
        bad("epochs", 0, ValueError, "epochs should be at least 1, got 0"),
        bad("epochs", -1, ValueError, "got -1"),
        bad("epochs", 2.5, TypeError, "epochs should be an integer, got 2.5"),
        bad("batch_size", 0, ValueError, "batch_size should be at least 1, got 0"),
        bad("batch_size", 81, ValueError, "at most the number of examples, 80, got 81"),
        bad("patience", 0, ValueError, "patience should be at least 1, got 0"),
        bad("train", X, TypeError, r"train should be a pair \(x, y\), got ndarray"),
        bad("train", (X[:0], Y[:0]), ValueError, r"train x is empty, of shape \(0, 2\)"),
        bad("train", (X, Y[:-1]), ValueError, r"as many examples, got x \(100, 2\) and y \(99,\)"),
        bad("train", (X.astype(np.uint8), Y), TypeError, r"train x should be floating point, got uint8"),
        bad(
            "train",
            poisoned(np.nan),
            ValueError,
            r"1 of its 160 values are not; the first is train x\[3, 1\] = nan",
        ),
        bad("train", poisoned(np.inf), ValueError, r"train x\[3, 1\] = inf"),
        bad("train", (X, Y + 1), ValueError, r"labels from 0 to 1, for 2 classes, but target\[\d+\] is 2"),
        bad("train", (X, Y - 1), ValueError, "is -1"),
        bad("train", (X, Y.astype(np.float32)), TypeError, "integer labels, got float32"),
        bad("train", (X, Y[:, None]), ValueError, r"target\[:, 0\] would fit"),
        bad(
            "train",
            (X[:, :1], Y),
            ValueError,
            r"train x of shape \(100, 1\) does not suit the params",
        ),
        bad("train", (X.tolist(), Y), TypeError, "train x should be an array, got list"),
        bad("validation", (X[:, :1], Y), ValueError, r"rows like train x's \(2,\), got \(1,\)"),
        bad("validation", (X, Y + 5), ValueError, "labels from 0 to 1"),
        bad("validation", (X * np.nan, Y), ValueError, "validation x should be finite"),
        bad(
            "net",
            serial(linear(8), tanh),
            ValueError,
            r"params should be those of the net, but 2.w is \(8, 2\)",
        ),
        bad(
            "loss",
            squared_error,
            ValueError,
            r"squared_error: target should have the prediction's shape \(80, 2\)",
        ),
        bad("loss", cross_entropy, ValueError, "should hold probabilities"),
        bad("checkpoints", "folder", TypeError, r"such as Checkpoints\('folder'\), got 'folder'"),
    ],
)
def test_bad_input_is_refused_before_the_first_step(name, value, error, says):
    steps = []
    with pytest.raises(error, match=says):
        run(**{"on_epoch": lambda *args: steps.append(args), name: value})
    assert not steps


def test_patience_needs_a_validation_set():
    with pytest.raises(ValueError, match="there is no validation set"):
        run(patience=3, validation=None)


def test_float64_data_is_not_rounded_in_silence():
    with jax.enable_x64(False), pytest.raises(TypeError, match="float64, which JAX would silently round"):
        run(train=(X.astype(np.float64), Y))
