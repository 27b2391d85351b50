"""Scores: each example counts once, however many predictions are made at a time."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from tests.training.small import LOSS, NET, START, TRAINING, X, Y

module = sys.modules["backhand.training.evaluate"]  # backhand.training.evaluate is the function


def test_it_is_the_loss_and_the_metrics_of_apply():
    prediction = jax.jit(NET.apply)(START.params, X)
    scores = bh.evaluate(TRAINING, START.params, X, Y, [bh.accuracy])
    assert list(scores) == ["loss", "accuracy"]
    assert all(type(score) is float for score in scores.values())
    assert scores["loss"] == pytest.approx(float(LOSS.forward(prediction, Y)[0]), rel=1e-12)
    assert scores["accuracy"] == pytest.approx((prediction.argmax(1) == Y).mean())
    assert list(bh.evaluate(TRAINING, START.params, X, Y)) == ["loss"]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 48, 67])
def test_blocks_of_one_size_make_each_prediction_once(monkeypatch, count):
    monkeypatch.setattr(module, "BLOCK", 16)
    sizes = set()

    def apply(w, x):
        sizes.add(len(x))
        return x * w

    x = np.arange(3.0 * count).reshape(count, 3)
    net = bh.tanh._replace(apply=apply)
    np.testing.assert_array_equal(module.in_blocks(net, jnp.full((1, 1), 2.0), x), 2 * x)
    (size,) = sizes
    assert size <= 16
    assert size * -(-count // 16) - count < size


def test_a_metric_need_not_be_a_mean(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    training = bh.Training(bh.linear(1), bh.squared_error, optax.sgd(0.1))
    params = bh.Linear(np.ones((4, 1)), np.zeros(1))
    scores = bh.evaluate(training, params, X, X[:, :1], [bh.r2])
    wanted = bh.r2(X @ params.w, X[:, :1])
    assert scores["r2"] == pytest.approx(float(wanted), rel=1e-12)


def test_it_compiles_once():
    traced = []

    def apply(params, x):
        traced.append(x)
        return jnp.broadcast_to(params, (len(x), 3))

    net = bh.Layer(
        lambda key, x: jnp.zeros(3), apply, lambda p, x, k: (apply(p, x), ()), lambda p, r, dy: ()
    )
    training = bh.Training(net, LOSS, optax.sgd(0.1))
    for _ in range(2):
        scores = bh.evaluate(training, jnp.zeros(3), X, Y)
        before = len(traced)
    assert scores["loss"] == pytest.approx(np.log(3))
    bh.evaluate(training, jnp.ones(3), X, Y)
    jax.effects_barrier()
    assert len(traced) - before <= before // 2  # checks trace it again, and compiling does not
