import jax
import jax.numpy as jnp
import numpy as np
import pytest

import backhand as bh

X = jnp.asarray(np.random.default_rng(0).standard_normal((200, 50)))


def test_its_use_is_the_identity():
    assert bh.dropout(0.5).apply((), X) is X


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_fraction_dropped_and_the_mean_kept(rate):
    y, _ = bh.dropout(rate).forward((), X, jax.random.key(0))
    assert float((y == 0).mean()) == pytest.approx(rate, abs=3 * (rate / X.size) ** 0.5)
    np.testing.assert_allclose(y[y != 0], (X / (1 - rate))[y != 0], rtol=1e-15)


def test_gradients_go_where_values_went():
    layer = bh.dropout(0.3)
    y, mask = layer.forward((), X, jax.random.key(1))
    _, dx = layer.backward((), mask, jnp.ones_like(X))
    np.testing.assert_array_equal(dx == 0, y == 0)
    np.testing.assert_allclose(dx[y != 0], 1 / 0.7, rtol=1e-15)
    assert mask.dtype == bool


def test_the_key_alone_decides():
    layer = bh.dropout(0.5)
    single, double = (
        layer.forward((), X.astype(t), jax.random.key(2))[1] for t in ("float32", "float64")
    )
    np.testing.assert_array_equal(single, double)
    assert (layer.forward((), X, jax.random.key(3))[1] != double).any()


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (0, 4)])
def test_odd_counts_and_none(shape):
    """Entries are drawn by twos."""
    layer = bh.dropout(0.3)

    def there_and_back(x):
        y, mask = layer.forward((), x, jax.random.key(0))
        return y, mask, layer.backward((), mask, y)[1]

    y, mask, dx = jax.eval_shape(there_and_back, jax.ShapeDtypeStruct(shape, "float16"))
    assert y.shape == mask.shape == dx.shape == shape
    assert y.dtype == dx.dtype == jnp.float16


def test_neighbours_are_dropped_independently():
    """Two entries share a random word, each its half."""
    _, mask = bh.dropout(0.3).forward((), jnp.ones((200, 500)), jax.random.key(0))
    left, right = np.asarray(mask, float).reshape(-1, 2).T
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.015


def test_each_layer_drops_its_own():
    net = bh.serial(bh.dropout(0.5), bh.dropout(0.5))
    _, (first, second) = net.forward(((), ()), X, jax.random.key(0))
    assert (first != second).any()


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "0.5", True])
def test_a_rate_that_makes_no_sense(rate):
    with pytest.raises((TypeError, ValueError), match="dropout: rate should be"):
        bh.dropout(rate)
