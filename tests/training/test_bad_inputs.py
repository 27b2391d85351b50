"""What users get wrong: each is refused before the first step, by the argument and what was got."""

# Wrong types are what this is about.
# mypy: ignore-errors

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.data import Dataset, Split, circle, curve, lesson, read_points, spirals, tfds
from backhand.models import perceptron

NET = bh.serial(bh.linear(8), bh.tanh, bh.linear(3))
LOSS, ADAM, SGD = bh.softmax_cross_entropy, optax.adam(0.01), optax.sgd(0.1)
OTHER = bh.serial(bh.linear(8), bh.tanh, bh.linear(5), bh.tanh, bh.linear(3))
WIDER = bh.serial(bh.linear(16), bh.tanh, bh.linear(3))
X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
Y = np.arange(40, dtype=np.int32) % 3
X2, Y2 = np.stack([X, X]), np.stack([Y, Y])  # a data set for each of two keys
ONE_HOT = np.eye(3, dtype=np.int32)[Y]
KEY = partial(jax.random.key, 0)  # JAX, as the tests set it up, lets no key be used twice
STEPS = []  # an entry for each gradient that was computed


def counted(net, loss):
    def gradient(params, x, y, key):
        jax.debug.callback(lambda: STEPS.append(1))
        return bh.manual(net, loss)(params, x, y, key)

    return gradient


def keys(*shape):
    return jax.random.split(KEY(), shape)


def blank(x, *nets_shape, net=NET, optimizer=ADAM):
    """A state of zeros, without compiling anything."""
    like = jax.eval_shape(net.init, KEY(), x)
    params = jax.tree.map(lambda a: np.zeros((*nets_shape, *a.shape), a.dtype), like)
    opt_state = jax.tree.map(
        lambda a: np.zeros((*nets_shape, *a.shape), a.dtype), jax.eval_shape(optimizer.init, like)
    )
    step = np.zeros(nets_shape, np.int32)
    return bh.TrainState(params, opt_state, step, keys(*nets_shape) if nets_shape else KEY())


TRAINING = bh.Training(NET, LOSS, ADAM, counted)
PARAMS = blank(X).params
OTHER_PARAMS, WIDER_PARAMS = blank(X, net=OTHER).params, blank(X, net=WIDER).params
LINE = bh.Training(bh.linear(1), bh.squared_error, ADAM, counted)


def x_with(value):
    x = X.copy()
    x[7, 1] = value
    return x


def training(**parts):
    return dataclasses.replace(TRAINING, **parts)


def init(key=None, x=X, **parts):
    bh.init_state(training(**parts), KEY() if key is None else key, x)


def step(state=None, x=X, y=Y):
    bh.make_step(TRAINING)(blank(X) if state is None else state, x, y)


def epoch(state=None, x=X, y=Y, batch_size=8):
    bh.make_epoch(TRAINING, batch_size)(blank(X) if state is None else state, x, y)


def fit(x=X, y=Y, **changes):
    asked = {"train": (x, y), "epochs": 2, "batch_size": 8} | changes
    if not {"key", "state"} & asked.keys():
        asked["state"] = blank(X)
    bh.fit(asked.pop("training", TRAINING), asked.pop("train"), **asked)


def fit_many(x=X, y=Y, **changes):
    fit(x, y, **{"state": blank(X, 2)} | changes)


def fit_own(x=X2, y=Y2, **changes):
    fit_many(x, y, **{"data_per_key": True} | changes)


def validate(x=X, y=Y):
    fit(validation=(x, y))


def regress(y):
    fit(y=y, training=LINE, state=blank(X, net=LINE.net))


def evaluate(params=PARAMS, x=X, y=Y, training=TRAINING, **more):
    bh.evaluate(training, params, x, y, **more)


def explain(params=PARAMS, x=X, y=Y):
    bh.explain(TRAINING, params, x, y)


def deleted(a):
    gone = jax.device_put(a.copy())
    gone.delete()
    return gone


def donated():
    state = bh.init_state(TRAINING, KEY(), X)
    bh.make_epoch(training(gradient=bh.manual), 8)(state, X, Y)
    return state


class Series:
    def __repr__(self):
        return "\n".join(f"{i}  3.2" for i in range(1000))


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


def uphill(optimizer, key=None):
    bh.init_state(
        bh.Training(bh.linear(1), bh.squared_error, optimizer),
        KEY() if key is None else key,
        X[:, :1],
    )


def is_kernel(params):
    return jax.tree.map(lambda p: p.ndim == 2, params)


FOLDER = None  # a fresh one, while a case runs


def row_norms(prediction, target):
    return (prediction * prediction).sum(1)


# What is done, its error, the name of the argument, and what the message says was got.
CASES = {
    "Training: a list of layers": (lambda: training(net=[bh.tanh]), TypeError, "net", "[<Layer"),
    "Training: a function for a net": (
        lambda: training(net=perceptron), TypeError, "net", "function perceptron"),
    "Training: a function for a loss": (
        lambda: training(loss=LOSS.forward), TypeError, "loss", "function"),
    "Training: a loss for a net": (lambda: bh.Training(LOSS, NET, ADAM), TypeError, "net", "Loss"),
    "Training: a rate for an optimizer": (
        lambda: training(optimizer=0.01), TypeError, "optimizer", "0.01"),
    "Training: a function for an optimizer": (
        lambda: training(optimizer=optax.adam), TypeError, "optimizer", "function adam"),
    "Training: a word for a gradient": (
        lambda: training(gradient="manual"), TypeError, "gradient", "'manual'"),
    "manual: a list of layers": (lambda: bh.manual([bh.tanh], LOSS), TypeError, "net", "[<Layer"),
    "manual: a function for a loss": (
        lambda: bh.manual(NET, LOSS.forward), TypeError, "loss", "forward"),
    "autodiff: a loss for a net": (lambda: bh.autodiff(LOSS, NET), TypeError, "net", "Loss"),
    "init_state: a net": (
        lambda: bh.init_state(NET, KEY(), X), TypeError, "training", "Layer"),
    "init_state: a number for a key": (lambda: init(key=0), TypeError, "key", "0"),
    "init_state: an untyped key": (
        lambda: init(key=jax.random.PRNGKey(7)), TypeError, "key", "[0, 7]"),
    "init_state: keys in rows": (lambda: init(key=keys(2, 2)), ValueError, "key", "(2, 2)"),
    "init_state: no keys": (lambda: init(key=keys(2)[:0]), ValueError, "key", "(0,)"),
    "init_state: a negative rate": (
        lambda: uphill(optax.sgd(-0.1)), ValueError, "optimizer", "+0.2"),
    "init_state: a negative rate for many": (
        lambda: uphill(optax.sgd(-0.1), keys(2)), ValueError, "optimizer", "+0.2"),
    "init_state: a rate of nan": (
        lambda: uphill(optax.sgd(np.nan)), ValueError, "optimizer", "+nan"),
    "init_state: a rate of inf": (
        lambda: uphill(optax.adam(np.inf)), ValueError, "optimizer", "-inf"),
    "init_state: half an optimizer": (
        lambda: uphill(optax.scale_by_adam()), ValueError, "optimizer", "+2"),
    "init_state: biases left out": (
        lambda: uphill(optax.masked(optax.sgd(0.1), is_kernel)), ValueError, "optimizer", "+0.9"),
    "init_state: an optimizer that needs the loss": (
        lambda: uphill(optax.lbfgs()), TypeError, "optimizer", "value"),
    "init_state: x of integers": (lambda: init(x=Y[:, None]), TypeError, "x", "int32"),
    "init_state: pictures in bytes": (lambda: init(x=X.astype(np.uint8)), TypeError, "x", "uint8"),
    "init_state: x of pictures": (
        lambda: init(x=np.zeros((4, 5, 5), np.float32)), ValueError, "x", "(4, 5, 5)"),
    "init_state: x of one number": (lambda: init(x=np.float32(1)), ValueError, "x", "scalar"),
    "init_state: x in a list": (lambda: init(x=[[0.0]]), TypeError, "x", "list"),
    "init_state: x of no columns": (lambda: init(x=X[:, :0]), ValueError, "x", "(40, 0)"),
    "fit: x in the other byte order": (
        lambda: fit(x=X.astype(">f4")), TypeError, "train x", ">f4"),
    "fit: y in the other byte order": (
        lambda: fit(y=Y.astype(">i4")), TypeError, "train y", ">i4"),
    "fit: x with a mask": (lambda: fit(x=np.ma.array(X, mask=X > 0)), TypeError, "train x", "mask"),
    "fit: x that was deleted": (lambda: fit(x=deleted(X)), ValueError, "train x", "deleted"),
    "fit: a state that was donated": (
        lambda: fit(state=donated()), ValueError, "state", "deleted"),
    "fit: a thousand lines for a number": (
        lambda: fit(epochs=Series()), TypeError, "epochs", "(Series)"),
    "evaluate: x in the other byte order": (
        lambda: evaluate(x=X.astype(">f4")), TypeError, "x", ">f4"),
    "evaluate: params that were donated": (
        lambda: evaluate(params=donated().params), ValueError, "params", "deleted"),
    "step: x in the other byte order": (lambda: step(x=X.astype(">f4")), TypeError, "x", ">f4"),
    "step: labels in the other byte order": (
        lambda: step(y=Y.astype(">i4")), TypeError, "y", ">i4"),
    "step: a label of -1": (lambda: step(y=Y - 1), ValueError, "y", "-1"),
    "step: a label of 2⁴⁰": (
        lambda: step(y=Y.astype(np.int64) + 2**40), ValueError, "y", str(2**40)),
    "step: a label too many": (lambda: step(y=jnp.asarray(Y) + 3), ValueError, "y", "3"),
    "step: x of a different width": (lambda: step(x=X[:, :1]), ValueError, "x", "(40, 1)"),
    "epoch: a label too many": (lambda: epoch(y=Y + 3), ValueError, "y", "3"),
    "make_step: a gradient": (
        lambda: bh.make_step(bh.manual(NET, LOSS)), TypeError, "training", "function manual"),
    "step: params for a state": (lambda: step(state=PARAMS), TypeError, "state", "tuple"),
    "step: lists": (lambda: step(x=X.tolist()), TypeError, "x", "list"),
    "step: fewer labels": (lambda: step(y=Y[:-1]), ValueError, "x and y", "y (39,)"),
    "step: columns missing": (lambda: step(x=X[:, :1]), ValueError, "x", "(40, 1)"),
    "step: one-hot labels": (lambda: step(y=ONE_HOT), ValueError, "target", "(40, 3)"),
    "step: float64 if JAX has 32 bits": (
        in_32_bits(lambda: step(x=X.astype(np.float64))), TypeError, "x", "float64"),
    "make_epoch: a state": (
        lambda: bh.make_epoch(blank(X), 8), TypeError, "training", "TrainState"),
    "make_epoch: batches of none": (lambda: epoch(batch_size=0), ValueError, "batch_size", "0"),
    "make_epoch: a fraction of a batch": (
        lambda: epoch(batch_size=2.5), TypeError, "batch_size", "2.5"),
    "epoch: params for a state": (lambda: epoch(state=PARAMS), TypeError, "state", "tuple"),
    "epoch: a batch beyond the data": (
        lambda: epoch(batch_size=41), ValueError, "batch_size", "41"),
    "epoch: fewer labels": (lambda: epoch(y=Y[:-1]), ValueError, "x and y", "y (39,)"),
    "epoch: pictures in bytes": (lambda: epoch(x=X.astype(np.uint8)), TypeError, "x", "uint8"),
    "epoch: no examples": (lambda: epoch(x=X[:0], y=Y[:0]), ValueError, "x", "(0, 2)"),
    "fit: a net": (lambda: fit(training=NET), TypeError, "training", "Layer"),
    "fit: nowhere to start": (lambda: fit(state=None), TypeError, "key", "neither"),
    "fit: two places to start": (
        lambda: fit(state=blank(X), key=KEY()), TypeError, "key", "both"),
    "fit: a number for a key": (lambda: fit(key=3), TypeError, "key", "3"),
    "fit: params for a state": (lambda: fit(state=PARAMS), TypeError, "state", "tuple"),
    "fit: a state of another optimizer": (
        lambda: fit(state=blank(X, optimizer=SGD)), ValueError, "state", "EmptyState"),
    "fit: a state of another net": (
        lambda: fit(state=blank(X, net=OTHER)), ValueError, "params", "4.w is (5, 3)"),
    "fit: a state of a wider net": (
        lambda: fit(state=blank(X, net=WIDER)), ValueError, "params", "(2, 16)"),
    "fit: x without y": (lambda: fit(train=X), TypeError, "train", "ndarray"),
    "fit: lists": (lambda: fit(X.tolist()), TypeError, "train x", "list"),
    "fit: objects": (lambda: fit(X.astype(object)), TypeError, "train x", "object"),
    "fit: words": (lambda: fit(X.astype(str)), TypeError, "train x", "<U32"),
    "fit: pictures in bytes": (lambda: fit(X.astype(np.uint8)), TypeError, "train x", "uint8"),
    "fit: float64 if JAX has 32 bits": (
        in_32_bits(lambda: fit(X.astype(np.float64))), TypeError, "train x", "float64"),
    "fit: a nan in x": (lambda: fit(x_with(np.nan)), ValueError, "train x[7, 1]", "nan"),
    "fit: an infinity in x": (lambda: fit(x_with(-np.inf)), ValueError, "train x[7, 1]", "-inf"),
    "fit: no examples": (lambda: fit(X[:0], Y[:0]), ValueError, "train x", "(0, 2)"),
    "fit: fewer labels": (lambda: fit(y=Y[:-1]), ValueError, "train", "y (39,)"),
    "fit: columns missing": (lambda: fit(X[:, :1]), ValueError, "train x", "(40, 1)"),
    "fit: a label out of range": (
        lambda: fit(y=np.where(Y == 2, 3, Y)), ValueError, "train y", "is 3"),
    "fit: a negative label": (lambda: fit(y=Y - 1), ValueError, "train y", "is -1"),
    "fit: labels in floats": (
        lambda: fit(y=Y.astype(np.float32)), TypeError, "train y", "float32"),
    "fit: labels in words": (lambda: fit(y=Y.astype(str)), TypeError, "train y", "<U11"),
    "fit: one-hot labels": (lambda: fit(y=ONE_HOT), ValueError, "train y", "(40, 3)"),
    "fit: a column of labels": (lambda: fit(y=Y[:, None]), ValueError, "train y", "(40, 1)"),
    "fit: targets without their column": (lambda: regress(X[:, 0]), ValueError, "train y", "(40,)"),
    "fit: integer targets": (lambda: regress(Y[:, None]), TypeError, "train y", "int32"),
    "fit: a nan in targets": (
        lambda: regress(x_with(np.nan)[:, 1:]), ValueError, "train y", "nan"),
    "fit: scores for probabilities": (
        lambda: fit(training=training(loss=bh.cross_entropy)), ValueError, "prediction", "sums to"),
    "fit: no epochs": (lambda: fit(epochs=0), ValueError, "epochs", "0"),
    "fit: epochs below 0": (lambda: fit(epochs=-1), ValueError, "epochs", "-1"),
    "fit: a fraction of an epoch": (lambda: fit(epochs=1.5), TypeError, "epochs", "1.5"),
    "fit: batches of none": (lambda: fit(batch_size=0), ValueError, "batch_size", "0"),
    "fit: a batch beyond the data": (lambda: fit(batch_size=41), ValueError, "batch_size", "41"),
    "fit: a truth for a batch": (lambda: fit(batch_size=True), TypeError, "batch_size", "True"),
    "fit: no patience": (
        lambda: fit(patience=0, validation=(X, Y)), ValueError, "patience", "0"),
    "fit: patience with nothing to watch": (lambda: fit(patience=7), ValueError, "patience", "7"),
    "fit: patience with many nets": (
        lambda: fit_many(patience=7, validation=(X, Y)), ValueError, "patience", "2 keys"),
    "fit: x to validate": (lambda: fit(validation=X), TypeError, "validation", "ndarray"),
    "fit: rows of another shape to validate": (
        lambda: validate(X[:, :1]), ValueError, "validation x", "(1,)"),
    "fit: nothing to validate": (
        lambda: validate(X[:0], Y[:0]), ValueError, "validation x", "(0, 2)"),
    "fit: a nan to validate": (
        lambda: validate(x_with(np.nan)), ValueError, "validation x[7, 1]", "nan"),
    "fit: a label to validate out of range": (
        lambda: validate(y=Y + 1), ValueError, "validation y", "is 3"),
    "fit: a metric alone": (
        lambda: fit(metrics=bh.accuracy), TypeError, "metrics", "function accuracy"),
    "fit: a metric without a name": (
        lambda: fit(metrics=[partial(bh.accuracy)]), TypeError, "metrics", "partial"),
    "fit: a metric twice": (
        lambda: fit(metrics=[bh.accuracy] * 2), ValueError, "metrics", "accuracy, accuracy"),
    "fit: a metric of many numbers": (
        lambda: fit(metrics=[row_norms]), ValueError, "metric row_norms", "(40,)"),
    "fit: nothing that observes": (lambda: fit(observe=["w"]), TypeError, "observe", "['w']"),
    "fit: an array observed, without a name": (
        lambda: fit(observe=lambda params: params[0].w), TypeError, "observe", "(2, 8)"),
    "fit: trees observed": (
        lambda: fit(observe=lambda params: {"w": params}), TypeError, "observe", "Linear"),
    "fit: a loss observed": (
        lambda: fit(observe=lambda params: {"loss": params[0].b}), ValueError, "observe", "loss"),
    "fit: a metric observed": (
        lambda: fit(observe=lambda params: {"val_loss": params[0].b}, validation=(X, Y)),
        ValueError, "observe", "val_loss"),
    "fit: on_epoch is not a function": (lambda: fit(on_epoch=[]), TypeError, "on_epoch", "[]"),
    "fit: a folder for checkpoints": (
        lambda: fit(checkpoints="folder"), TypeError, "checkpoints", "'folder'"),
    "fit: data for each of one key": (
        lambda: fit(data_per_key=True), ValueError, "data_per_key", "one key"),
    "fit: no keys": (lambda: fit(key=keys(2)[:0]), ValueError, "key", "(0,)"),
    "fit: many states of another net": (
        lambda: fit(state=blank(X, 2, net=OTHER)), ValueError, "params", "4.w is (5, 3)"),
    "fit: many states of another optimizer": (
        lambda: fit(state=blank(X, 2, optimizer=SGD)), ValueError, "state", "EmptyState"),
    "fit: many nets and a nan": (
        lambda: fit_many(x_with(np.nan)), ValueError, "train x[7, 1]", "nan"),
    "fit: data for a key too few": (lambda: fit_own(X2[:1]), ValueError, "train x", "(1, 40, 2)"),
    "fit: labels without an axis of keys": (lambda: fit_own(y=Y), ValueError, "train y", "(40,)"),
    "fit: data to validate without an axis of keys": (
        lambda: fit_own(validation=(X, Y)), ValueError, "validation x", "(40, 2)"),
    "fit: a nan in one key's data": (
        lambda: fit_own(np.stack([X, x_with(np.nan)])), ValueError, "train x[1, 7, 1]", "nan"),
    "fit: a label out of range in one key's data": (
        lambda: fit_own(y=np.stack([Y, Y + 1])), ValueError, "train y", "is 3"),
    "fit: fewer labels in each key's data": (
        lambda: fit_own(y=Y2[:, :-1]), ValueError, "train", "y (39,)"),
    "fit: a batch beyond each key's data": (
        lambda: fit_own(batch_size=41), ValueError, "batch_size", "41"),
    "evaluate: a net": (lambda: evaluate(training=NET), TypeError, "training", "Layer"),
    "evaluate: params of another net": (
        lambda: evaluate(params=OTHER_PARAMS), ValueError, "params", "4.w is (5, 3)"),
    "evaluate: params of a wider net": (
        lambda: evaluate(params=WIDER_PARAMS), ValueError, "params", "(2, 16)"),
    "evaluate: a state for params": (
        lambda: evaluate(params=blank(X)), ValueError, "params", "0.w is missing"),
    "evaluate: an infinity in x": (
        lambda: evaluate(x=x_with(np.inf)), ValueError, "x[7, 1]", "inf"),
    "evaluate: no examples": (lambda: evaluate(x=X[:0], y=Y[:0]), ValueError, "x", "(0, 2)"),
    "evaluate: pictures in bytes": (
        lambda: evaluate(x=X.astype(np.uint8)), TypeError, "x", "uint8"),
    "evaluate: float64 if JAX has 32 bits": (
        in_32_bits(lambda: evaluate(x=X.astype(np.float64))), TypeError, "x", "float64"),
    "evaluate: fewer labels": (lambda: evaluate(y=Y[:-1]), ValueError, "x and y", "(39,)"),
    "evaluate: a label out of range": (lambda: evaluate(y=Y + 1), ValueError, "y", "is 3"),
    "evaluate: scores for probabilities": (
        lambda: evaluate(training=training(loss=bh.cross_entropy)),
        ValueError, "prediction", "sums to"),
    "evaluate: a metric alone": (
        lambda: evaluate(metrics=bh.accuracy), TypeError, "metrics", "function accuracy"),
    "explain: params of another net": (
        lambda: explain(params=OTHER_PARAMS), ValueError, "params", "4.w is (5, 3)"),
    "explain: labels in floats": (
        lambda: explain(y=Y.astype(np.float32)), TypeError, "y", "float32"),
    "Checkpoints: a config that JSON has not": (
        lambda: bh.Checkpoints(FOLDER, {"net": {1, 2}}), TypeError, "config", "{1, 2}"),
    "check_backward: a word": (
        lambda: bh.check_backward("tanh", X), TypeError, "subject", "'tanh'"),
    "check_backward: a nan in x": (
        lambda: bh.check_backward(bh.tanh, x_with(np.nan)), ValueError, "input[7, 1]", "nan"),
    "as_custom_vjp: a function": (
        lambda: bh.as_custom_vjp(jnp.tanh), TypeError, "argument 1", "tanh"),
    "summary: a shape": (lambda: bh.summary(NET, (40, 2)), TypeError, "x", "tuple"),
    "linear: no features": (lambda: bh.linear(0), ValueError, "features", "0"),
    "linear: features below 0": (lambda: bh.linear(-3), ValueError, "features", "-3"),
    "linear: half a feature": (lambda: bh.linear(2.5), TypeError, "features", "2.5"),
    "linear: true features": (lambda: bh.linear(True), TypeError, "features", "True"),
    "dropout: all of it": (lambda: bh.dropout(1.0), ValueError, "rate", "1.0"),
    "dropout: a rate in words": (lambda: bh.dropout("half"), TypeError, "rate", "'half'"),
    "distort: one side": (lambda: bh.distort((28,)), TypeError, "image_shape", "(28,)"),
    "distort: turned by nan": (
        lambda: bh.distort((8, 8), rotate=np.nan), ValueError, "rotate", "nan"),
    "leaky_relu: a slope of inf": (lambda: bh.leaky_relu(np.inf), ValueError, "slope", "inf"),
    "huber: delta 0": (lambda: bh.huber(0), ValueError, "delta", "0"),
    "serial: a list": (lambda: bh.serial([bh.tanh]), TypeError, "argument 1", "[<Layer"),
    "serial: a function": (
        lambda: bh.serial(bh.tanh, bh.dropout), TypeError, "argument 2", "function dropout"),
    "parallel: nothing": (lambda: bh.parallel(), ValueError, "layer", "0"),
    "parallel: different widths": (
        lambda: bh.parallel(bh.linear(2), bh.linear(3)).init(KEY(), X),
        ValueError, "linear(3)", "(40, 3)"),
    "residual: another width": (
        lambda: bh.residual(bh.linear(3)).init(KEY(), X), ValueError, "linear(3)", "(40, 3)"),
    "perceptron: a width alone": (lambda: perceptron(8, 3), TypeError, "hidden", "8"),
    "perceptron: an activation it has not": (
        lambda: perceptron((8,), 3, "swish"), ValueError, "activation", "'swish'"),
    "cross_entropy: rows that do not sum to 1": (
        lambda: bh.cross_entropy.check(np.full((2, 3), 0.5), Y[:2]),
        ValueError, "prediction", "1.5"),
    "logistic: two columns": (
        lambda: bh.logistic.check(np.zeros((2, 2)), Y[:2]), ValueError, "prediction", "(2, 2)"),
    "accuracy: scores without rows": (
        lambda: bh.accuracy(X[:, 0], Y), ValueError, "prediction", "(40,)"),
    "save: numbers for arrays": (lambda: saved(params={"w": 1.0}), TypeError, "params", "float"),
    "save: a config that JSON has not": (
        lambda: saved(config={"net": {1, 2}}), TypeError, "config", "{1, 2}"),
    "load: for another net": (lambda: saved(net=OTHER), ValueError, "4.w", "float32[5, 3]"),
    "load: for x in a list": (lambda: saved(x=X.tolist()), TypeError, "x", "list"),
    "circle: too few": (lambda: circle(size=3), ValueError, "size", "3"),
    "circle: noise of nan": (lambda: circle(noise=np.nan), ValueError, "noise", "nan"),
    "circle: a negative seed": (lambda: circle(seed=-1), ValueError, "seed", "-1"),
    "lesson: more noise than labels": (lambda: lesson(noise=0.7), ValueError, "noise", "0.7"),
    "spirals: one arm": (lambda: spirals(classes=1), ValueError, "classes", "1"),
    "sine: half a point": (lambda: curve("sine", size=2.5), TypeError, "size", "2.5"),
    "sine: noise in words": (lambda: curve("sine", noise="some"), TypeError, "noise", "'some'"),
    "sine: all outliers": (lambda: curve("sine", outliers=1.0), ValueError, "outliers", "1.0"),
    "sine: a negative seed": (lambda: curve("sine", seed=-1), ValueError, "seed", "-1"),
    "read_points: nan in the first line": (
        from_csv("nan,nan,a\n1,2,a\n"), ValueError, "x1", "'nan'"),
    "tfds: a dataset of someone": (
        lambda: tfds("huggingface:a/b"), ValueError, "name", "'huggingface:a/b'"),
    "tfds: a version": (lambda: tfds("mnist:1.0.0"), ValueError, "name", "'mnist:1.0.0'"),
    "check_backward: a number for x": (
        lambda: bh.check_backward(bh.tanh, 2.5), ValueError, "x", "scalar"),
    "check_backward: x in the other byte order": (
        lambda: bh.check_backward(bh.tanh, X.astype(">f4")), TypeError, "input", ">f4"),
    "check_backward: x with a mask": (
        lambda: bh.check_backward(bh.tanh, np.ma.array(X, mask=X > 0)), TypeError, "input",
        "mask"),
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


@pytest.mark.parametrize(
    "start", [fit, *(pytest.param(many, marks=pytest.mark.slow) for many in (fit_many, fit_own))]
)
def test_a_step_that_is_taken_counts(start):
    """If nothing is wrong: else the test above would show nothing."""
    STEPS.clear()
    start()
    jax.effects_barrier()
    assert len(STEPS) == 10
