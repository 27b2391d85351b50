"""What users get wrong: each is refused before anything is trained, by the name of the argument and what was got."""

# Wrong types are what this is about.
# mypy: ignore-errors

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.data import Dataset, Split, circle, lesson, read_points, sine, spirals
from backhand.models.perceptron import perceptron
from backhand.training.seeds import fit_seeds, init_seeds

NET, LOSS, ADAM = bh.serial(bh.linear(8), bh.tanh, bh.linear(3)), bh.softmax_cross_entropy, optax.adam(0.01)
OTHER = bh.serial(bh.linear(8), bh.tanh, bh.linear(5), bh.tanh, bh.linear(3))
WIDER = bh.serial(bh.linear(16), bh.tanh, bh.linear(3))
X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
Y = np.arange(40, dtype=np.int32) % 3
ROWS = X[:, :1]  # a target to regress on
KEY = partial(jax.random.key, 0)  # which JAX, as the tests have it, lets no one use twice
STEPS = []  # an entry for each gradient that was really computed


def counted(params, x, y, key):
    jax.debug.callback(lambda: STEPS.append(1))
    return bh.manual(NET, LOSS)(params, x, y, key)


STEP = bh.make_step(counted, ADAM)
STATE = bh.init_state(KEY(), NET, ADAM, X)
STATES = init_seeds((0, 1), NET, ADAM, X)
PARAMS = STATE.params


def x_with(value):
    x = X.copy()
    x[7, 1] = value
    return x


def init(key=None, net=NET, optimizer=ADAM, x=X):
    bh.init_state(KEY() if key is None else key, net, optimizer, x)


def step(state=STATE, x=X, y=Y):
    STEP(state, x, y)


def epoch(state=STATE, x=X, y=Y, batch_size=8):
    bh.make_epoch(STEP, batch_size)(jax.tree.map(jnp.copy, state), x, y)


def fit(x=X, y=Y, **changes):
    asked = {"net": NET, "loss": LOSS, "epochs": 2, "batch_size": 8} | changes
    bh.fit(asked.pop("state", STATE), asked.pop("step", STEP), asked.pop("train", (x, y)), **asked)


def validate(x=X, y=Y):
    fit(validation=(x, y))


def regress(y):
    fit(y=y, state=bh.init_state(KEY(), bh.linear(1), ADAM, X), net=bh.linear(1), loss=bh.squared_error)


def seeds(x=X, y=Y, **changes):
    asked = {"net": NET, "loss": LOSS, "epochs": 2, "batch_size": 8} | changes
    splits = {"train": (np.stack([x, x]), np.stack([y, y]))}
    fit_seeds(asked.pop("states", STATES), asked.pop("step", STEP), asked.pop("splits", splits), **asked)


def evaluate(net=NET, loss=LOSS, params=PARAMS, x=X, y=Y, **more):
    bh.evaluate(net, loss, params, x, y, **more)


def explain(net=NET, loss=LOSS, params=PARAMS, x=X, y=Y, key=None):
    bh.explain(net, loss, params, x, y, key)


def in_32_bits(call):
    def called():
        with jax.enable_x64(False):
            call()

    return called


def from_csv(text):
    def called():
        (FOLDER / "mine.csv").write_text(text, encoding="utf-8")
        read_points(FOLDER / "mine.csv")

    return called


def saved(params=PARAMS, config=None, net=NET, x=X):
    bh.save(FOLDER / "p.safetensors", params, config)
    bh.load(FOLDER / "p.safetensors", net, x)


FOLDER = None  # a fresh one, while a case runs


def row_norms(prediction, target):
    return (prediction * prediction).sum(1)


# What is done, its error, the name of the argument, and what it says was got.
CASES = {
    "init_state: a number for a key": (lambda: init(key=0), TypeError, "key", "0"),
    "init_state: an untyped key": (lambda: init(key=jax.random.PRNGKey(7)), TypeError, "key", "[0, 7]"),
    "init_state: two keys": (lambda: init(key=jax.random.split(KEY())), ValueError, "key", "(2,)"),
    "init_state: a function for a net": (lambda: init(net=bh.linear), TypeError, "net", "function linear"),
    "init_state: a function for an optimizer": (
        lambda: init(optimizer=optax.adam), TypeError, "optimizer", "function adam"),
    "init_state: a negative rate": (
        lambda: init(optimizer=optax.sgd(-0.1)), ValueError, "optimizer", "+0.4"),
    "init_state: a rate of nan": (
        lambda: init(optimizer=optax.sgd(np.nan)), ValueError, "optimizer", "+nan"),
    "init_state: x of integers": (lambda: init(x=Y[:, None]), TypeError, "x", "int32"),
    "init_state: x of pictures": (lambda: init(x=np.zeros((4, 5, 5), np.float32)), ValueError, "x", "(4, 5, 5)"),
    "init_state: x of one number": (lambda: init(x=np.float32(1)), ValueError, "x", "scalar"),
    "manual: a list of layers": (lambda: bh.manual([bh.tanh], LOSS), TypeError, "net", "[Layer"),
    "manual: a function for a loss": (lambda: bh.manual(NET, LOSS.forward), TypeError, "loss", "forward"),
    "autodiff: a loss for a net": (lambda: bh.autodiff(LOSS, NET), TypeError, "net", "Loss"),
    "make_step: a net for a gradient": (lambda: bh.make_step(NET, ADAM), TypeError, "gradient", "Layer"),
    "make_step: a rate for an optimizer": (lambda: bh.make_step(counted, 0.01), TypeError, "optimizer", "0.01"),
    "step: params for a state": (lambda: step(state=PARAMS), TypeError, "state", "tuple"),
    "step: lists": (lambda: step(x=X.tolist()), TypeError, "x", "list"),
    "step: fewer labels": (lambda: step(y=Y[:-1]), ValueError, "x and y", "y (39,)"),
    "step: columns missing": (lambda: step(x=X[:, :1]), ValueError, "x", "(40, 1)"),
    "step: one-hot labels": (lambda: step(y=np.eye(3, dtype=np.int32)[Y]), ValueError, "target", "(40, 3)"),
    "make_epoch: a state for a step": (lambda: bh.make_epoch(STATE, 8), TypeError, "step", "TrainState"),
    "make_epoch: batches of none": (lambda: epoch(batch_size=0), ValueError, "batch_size", "0"),
    "make_epoch: a fraction of a batch": (lambda: epoch(batch_size=2.5), TypeError, "batch_size", "2.5"),
    "epoch: a batch beyond the data": (lambda: epoch(batch_size=41), ValueError, "batch_size", "41"),
    "epoch: pictures in bytes": (lambda: epoch(x=X.astype(np.uint8)), TypeError, "x", "uint8"),
    "epoch: no examples": (lambda: epoch(x=X[:0], y=Y[:0]), ValueError, "x", "(0, 2)"),
    "fit: params for a state": (lambda: fit(state=PARAMS), TypeError, "state", "tuple"),
    "fit: a state of another optimizer": (
        lambda: fit(state=bh.init_state(KEY(), NET, optax.sgd(0.1), X)), ValueError, "state", "EmptyState"),
    "fit: a state of another net": (
        lambda: fit(state=bh.init_state(KEY(), OTHER, ADAM, X)), ValueError, "params", "4.w is (5, 3)"),
    "fit: a state of a wider net": (
        lambda: fit(state=bh.init_state(KEY(), WIDER, ADAM, X)), ValueError, "params", "(2, 16)"),
    "fit: a gradient for a step": (lambda: fit(step=counted), ValueError, "step", "counted"),
    "fit: a function for a net": (lambda: fit(net=perceptron), TypeError, "net", "function perceptron"),
    "fit: a function for a loss": (lambda: fit(loss=LOSS.forward), TypeError, "loss", "function"),
    "fit: x without y": (lambda: fit(train=X), TypeError, "train", "ndarray"),
    "fit: lists": (lambda: fit(X.tolist()), TypeError, "train x", "list"),
    "fit: objects": (lambda: fit(X.astype(object)), TypeError, "train x", "object"),
    "fit: words": (lambda: fit(X.astype(str)), TypeError, "train x", "<U32"),
    "fit: pictures in bytes": (lambda: fit(X.astype(np.uint8)), TypeError, "train x", "uint8"),
    "fit: float64 where JAX has 32 bits": (
        in_32_bits(lambda: fit(X.astype(np.float64))), TypeError, "train x", "float64"),
    "fit: a nan in x": (lambda: fit(x_with(np.nan)), ValueError, "train x[7, 1]", "nan"),
    "fit: an infinity in x": (lambda: fit(x_with(-np.inf)), ValueError, "train x[7, 1]", "-inf"),
    "fit: no examples": (lambda: fit(X[:0], Y[:0]), ValueError, "train x", "(0, 2)"),
    "fit: fewer labels": (lambda: fit(y=Y[:-1]), ValueError, "train", "y (39,)"),
    "fit: columns missing": (lambda: fit(X[:, :1]), ValueError, "train x", "(40, 1)"),
    "fit: a label out of range": (lambda: fit(y=np.where(Y == 2, 3, Y)), ValueError, "train y", "is 3"),
    "fit: a negative label": (lambda: fit(y=Y - 1), ValueError, "train y", "is -1"),
    "fit: labels in floats": (lambda: fit(y=Y.astype(np.float32)), TypeError, "train y", "float32"),
    "fit: labels in words": (lambda: fit(y=Y.astype(str)), TypeError, "train y", "<U11"),
    "fit: one-hot labels": (lambda: fit(y=np.eye(3, dtype=np.int32)[Y]), ValueError, "train y", "(40, 3)"),
    "fit: a column of labels": (lambda: fit(y=Y[:, None]), ValueError, "train y", "(40, 1)"),
    "fit: targets without their column": (lambda: regress(X[:, 0]), ValueError, "train y", "(40,)"),
    "fit: integer targets": (lambda: regress(Y[:, None]), TypeError, "train y", "int32"),
    "fit: a nan in targets": (lambda: regress(x_with(np.nan)[:, 1:]), ValueError, "train y", "nan"),
    "fit: scores for probabilities": (
        lambda: fit(loss=bh.cross_entropy), ValueError, "prediction", "sums to"),
    "fit: no epochs": (lambda: fit(epochs=0), ValueError, "epochs", "0"),
    "fit: epochs below 0": (lambda: fit(epochs=-1), ValueError, "epochs", "-1"),
    "fit: a fraction of an epoch": (lambda: fit(epochs=1.5), TypeError, "epochs", "1.5"),
    "fit: batches of none": (lambda: fit(batch_size=0), ValueError, "batch_size", "0"),
    "fit: a batch beyond the data": (lambda: fit(batch_size=41), ValueError, "batch_size", "41"),
    "fit: a truth for a batch": (lambda: fit(batch_size=True), TypeError, "batch_size", "True"),
    "fit: patience with nothing to watch": (lambda: fit(patience=7), ValueError, "patience", "7"),
    "fit: rows of another shape to validate": (lambda: validate(X[:, :1]), ValueError, "validation x", "(1,)"),
    "fit: nothing to validate": (lambda: validate(X[:0], Y[:0]), ValueError, "validation x", "(0, 2)"),
    "fit: a nan to validate": (lambda: validate(x_with(np.nan)), ValueError, "validation x[7, 1]", "nan"),
    "fit: a label to validate out of range": (lambda: validate(y=Y + 1), ValueError, "validation y", "is 3"),
    "fit: a metric alone": (lambda: fit(metrics=bh.accuracy), TypeError, "metrics", "function accuracy"),
    "fit: a metric without a name": (
        lambda: fit(metrics=[partial(bh.accuracy)]), TypeError, "metrics", "partial"),
    "fit: a metric of many numbers": (
        lambda: fit(metrics=[row_norms]), ValueError, "metric row_norms", "(40,)"),
    "fit: on_epoch no function": (lambda: fit(on_epoch=[]), TypeError, "on_epoch", "[]"),
    "init_seeds: no seeds": (lambda: init_seeds([], NET, ADAM, X), ValueError, "seeds", "none"),
    "init_seeds: a negative seed": (lambda: init_seeds([3, -1], NET, ADAM, X), ValueError, "seed", "-1"),
    "fit_seeds: one state": (lambda: seeds(states=STATE), ValueError, "states", "()"),
    "fit_seeds: states of another net": (
        lambda: seeds(states=init_seeds((0, 1), OTHER, ADAM, X)), ValueError, "params", "4.w is (5, 3)"),
    "fit_seeds: states of another optimizer": (
        lambda: seeds(states=init_seeds((0, 1), NET, optax.sgd(0.1), X)), ValueError, "state", "EmptyState"),
    "fit_seeds: a pair for splits": (lambda: seeds(splits=(X, Y)), TypeError, "splits", "tuple"),
    "fit_seeds: lists": (lambda: seeds(splits={"train": (X.tolist(), Y)}), TypeError, "train x", "list"),
    "fit_seeds: a nan in x": (lambda: seeds(x_with(np.nan)), ValueError, "train x", "nan"),
    "fit_seeds: a label out of range": (lambda: seeds(y=Y + 1), ValueError, "train y", "is 3"),
    "fit_seeds: a function for a loss": (lambda: seeds(loss=LOSS.forward), TypeError, "loss", "function"),
    "fit_seeds: a state for a step": (lambda: seeds(step=STATE), TypeError, "step", "TrainState"),
    "fit_seeds: a metric alone": (
        lambda: seeds(metrics=bh.accuracy), TypeError, "metrics", "function accuracy"),
    "evaluate: params of another net": (
        lambda: evaluate(params=OTHER.init(KEY(), X)), ValueError, "params", "4.w is (5, 3)"),
    "evaluate: params of a wider net": (
        lambda: evaluate(params=WIDER.init(KEY(), X)), ValueError, "params", "(2, 16)"),
    "evaluate: a state for params": (lambda: evaluate(params=STATE), ValueError, "params", "0.w is missing"),
    "evaluate: a function for a loss": (lambda: evaluate(loss=LOSS.forward), TypeError, "loss", "function"),
    "evaluate: an infinity in x": (lambda: evaluate(x=x_with(np.inf)), ValueError, "x[7, 1]", "inf"),
    "evaluate: fewer labels": (lambda: evaluate(y=Y[:-1]), ValueError, "x and y", "(39,)"),
    "evaluate: a label out of range": (lambda: evaluate(y=Y + 1), ValueError, "y", "is 3"),
    "evaluate: batches of none": (lambda: evaluate(batch_size=0), ValueError, "batch_size", "0"),
    "evaluate: a metric alone": (
        lambda: evaluate(metrics=bh.accuracy), TypeError, "metrics", "function accuracy"),
    "explain: params of another net": (
        lambda: explain(params=OTHER.init(KEY(), X)), ValueError, "params", "4.w is (5, 3)"),
    "explain: a function for a loss": (lambda: explain(loss=LOSS.forward), TypeError, "loss", "function"),
    "explain: a number for a key": (lambda: explain(key=3), TypeError, "key", "3"),
    "explain: labels in floats": (lambda: explain(y=Y.astype(np.float32)), TypeError, "y", "float32"),
    "check_backward: a word": (lambda: bh.check_backward("tanh", X), TypeError, "subject", "'tanh'"),
    "check_backward: a nan in x": (
        lambda: bh.check_backward(bh.tanh, x_with(np.nan)), ValueError, "input[7, 1]", "nan"),
    "as_custom_vjp: a function": (lambda: bh.as_custom_vjp(jnp.tanh), TypeError, "argument 1", "tanh"),
    "summary: a shape": (lambda: bh.summary(NET, (40, 2)), TypeError, "x", "tuple"),
    "linear: no features": (lambda: bh.linear(0), ValueError, "features", "0"),
    "linear: features below 0": (lambda: bh.linear(-3), ValueError, "features", "-3"),
    "linear: half a feature": (lambda: bh.linear(2.5), TypeError, "features", "2.5"),
    "linear: true features": (lambda: bh.linear(True), TypeError, "features", "True"),
    "dropout: all of it": (lambda: bh.dropout(1.0), ValueError, "rate", "1.0"),
    "dropout: a rate in words": (lambda: bh.dropout("half"), TypeError, "rate", "'half'"),
    "distort: one side": (lambda: bh.distort((28,)), TypeError, "image_shape", "(28,)"),
    "distort: turned by nan": (lambda: bh.distort((8, 8), rotate=np.nan), ValueError, "rotate", "nan"),
    "leaky_relu: a slope of inf": (lambda: bh.leaky_relu(np.inf), ValueError, "slope", "inf"),
    "huber: delta 0": (lambda: bh.huber(0), ValueError, "delta", "0"),
    "serial: a list": (lambda: bh.serial([bh.tanh]), TypeError, "argument 1", "[Layer"),
    "serial: a function": (lambda: bh.serial(bh.tanh, bh.dropout), TypeError, "argument 2", "function dropout"),
    "parallel: nothing": (lambda: bh.parallel(), ValueError, "layer", "0"),
    "parallel: different widths": (
        lambda: bh.parallel(bh.linear(2), bh.linear(3)).init(KEY(), X), ValueError, "linear(3)", "(40, 3)"),
    "residual: another width": (
        lambda: bh.residual(bh.linear(3)).init(KEY(), X), ValueError, "linear(3)", "(40, 3)"),
    "perceptron: a width alone": (lambda: perceptron(8, 3), TypeError, "hidden", "8"),
    "perceptron: an activation it has not": (
        lambda: perceptron((8,), 3, "swish"), ValueError, "activation", "'swish'"),
    "cross_entropy: rows that do not sum to 1": (
        lambda: bh.cross_entropy.check(np.full((2, 3), 0.5), Y[:2]), ValueError, "prediction", "1.5"),
    "logistic: two columns": (
        lambda: bh.logistic.check(np.zeros((2, 2)), Y[:2]), ValueError, "prediction", "(2, 2)"),
    "accuracy: scores without rows": (lambda: bh.accuracy(X[:, 0], Y), ValueError, "prediction", "(40,)"),
    "save: numbers for arrays": (lambda: saved(params={"w": 1.0}), TypeError, "params", "float"),
    "save: a config that JSON has not": (lambda: saved(config={"net": {1, 2}}), TypeError, "config", "{1, 2}"),
    "load: for another net": (lambda: saved(net=OTHER), ValueError, "4.w", "float32[5, 3]"),
    "load: for x in a list": (lambda: saved(x=X.tolist()), TypeError, "x", "list"),
    "circle: too few": (lambda: circle(size=3), ValueError, "size", "3"),
    "circle: noise of nan": (lambda: circle(noise=np.nan), ValueError, "noise", "nan"),
    "circle: a negative seed": (lambda: circle(seed=-1), ValueError, "seed", "-1"),
    "lesson: more noise than labels": (lambda: lesson(noise=0.7), ValueError, "noise", "0.7"),
    "spirals: one arm": (lambda: spirals(classes=1), ValueError, "classes", "1"),
    "sine: half a point": (lambda: sine(size=2.5), ValueError, "size", "2.5"),
    "sine: noise in words": (lambda: sine(noise="some"), TypeError, "noise", "'some'"),
    "sine: all outliers": (lambda: sine(outliers=1.0), ValueError, "outliers", "1.0"),
    "sine: a negative seed": (lambda: sine(seed=-1), ValueError, "seed", "-1"),
    "read_points: a word for a coordinate": (
        from_csv("x1,x2,label\n1,2,a\n1,far,b\n"), ValueError, "x2", "'far'"),
    "Dataset: fewer targets": (
        lambda: Dataset("mine", {"train": Split(X, Y[:-1])}), ValueError, "train x and y", "(39,)"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "name", "got"), CASES.values(), ids=CASES)
def test_it_is_refused_by_name_before_the_first_step(call, error, name, got, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    STEPS.clear()
    with pytest.raises(error) as caught:
        call()
    jax.effects_barrier()
    assert STEPS == []
    assert type(caught.value) is error  # ours, and no subclass that Python or JAX raises
    message = str(caught.value)
    assert in_words(name, message)
    assert in_words(got, message.replace(name, "", 1))


def in_words(what, message):
    return re.search(rf"(?<!\w){re.escape(what)}(?!\w)", message)


def test_a_step_that_is_taken_counts():
    """Where nothing is wrong: else the test above would show nothing."""
    STEPS.clear()
    fit()
    jax.effects_barrier()
    assert len(STEPS) == 10
