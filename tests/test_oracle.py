"""The judge itself is judged: each usual mistake, planted in a right backward, must be caught."""

import jax.numpy as jnp
import pytest

from backhand import Layer, Linear, linear, softmax_cross_entropy, squared_error, tanh
from tests.oracle import check_layer, check_loss, normal_like


def planted(layer: Layer, change) -> Layer:
    return layer._replace(backward=lambda p, r, dy: change(*layer.backward(p, r, dy)))


MISTAKES = {
    "wrong sign": lambda dp, dx: (dp, -dx),
    "off by 2": lambda dp, dx: (dp, 2 * dx),
    "dx zeroed": lambda dp, dx: (dp, 0 * dx),
    "one row stale": lambda dp, dx: (dp, dx.at[0].set(0)),
    "dw a mean": lambda dp, dx: (Linear(dp.w / len(dx), dp.b), dx),
    "db a mean": lambda dp, dx: (Linear(dp.w, dp.b / len(dx)), dx),
    "db not summed": lambda dp, dx: (Linear(dp.w, jnp.broadcast_to(dp.b, (len(dx), 3))), dx),
    "dw transposed": lambda dp, dx: (Linear(dp.w.T, dp.b), dx),
    "cast too early": lambda dp, dx: (dp, dx.astype(jnp.float32).astype(dx.dtype)),
    "wrong dtype": lambda dp, dx: (dp, dx.astype(jnp.float32)),
    "another structure": lambda dp, dx: (tuple(dp), dx),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_catches(mistake):
    check_layer(linear(3), (5, 3))
    with pytest.raises(AssertionError):
        check_layer(planted(linear(3), MISTAKES[mistake]), (5, 3))


def test_catches_a_missing_derivative():
    with pytest.raises(AssertionError):
        check_layer(tanh._replace(backward=lambda params, y, dy: ((), dy)), (5, 3))


def test_catches_a_forward_that_is_not_apply():
    with pytest.raises(AssertionError):
        check_layer(tanh._replace(apply=lambda params, x: x), (5, 3))


def test_catches_a_sum_for_a_mean():
    prediction, target = normal_like((jnp.zeros((5, 3)), jnp.zeros((5, 3))), 0)
    for loss, y in ((squared_error, target), (softmax_cross_entropy, jnp.array([0, 1, 2, 1, 0]))):
        check_loss(loss, prediction, y)
        wrong = loss._replace(backward=lambda r, loss=loss: 5 * loss.backward(r))
        with pytest.raises(AssertionError):
            check_loss(wrong, prediction, y)
