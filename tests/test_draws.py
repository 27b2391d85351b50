"""Random numbers, and weights to start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

from backhand import draws, glorot, he, lecun

SHAPE = 200, 300  # 60,000 draws: the standard deviation of their variance is 0.6 %


@pytest.mark.parametrize("shape", [(), (7,), (0, 4), (3, 5)])
def test_the_bits_are_those_of_jax(shape):
    for impl in ("threefry2x32", "rbg"):
        key = jax.random.key(3, impl=impl)
        got, wanted = draws.bits(key, shape), jax.random.bits(clone(key), shape, jnp.uint32)
        assert (got.shape, got.dtype) == (shape, jnp.uint32)
        np.testing.assert_array_equal(got, wanted)


def test_under_vmap_as_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: draws.bits(key, (5,)))(keys)
    np.testing.assert_array_equal(together[1], draws.bits(keys[1], (5,)))


def test_uniform_is_uniform():
    u = np.asarray(draws.uniform(jax.random.key(0), SHAPE))
    assert u.dtype == np.float32
    assert -1 < u.min() < -0.9999
    assert 0.9999 < u.max() < 1
    shares = np.histogram(u, bins=10, range=(-1, 1))[0] / u.size
    np.testing.assert_allclose(shares, 0.1, atol=0.006)


def test_normal_is_normal():
    z = np.asarray(draws.normal(jax.random.key(0), SHAPE), np.float64)
    for power, moment in {1: 0, 2: 1, 3: 0, 4: 3}.items():
        assert (z**power).mean() == pytest.approx(moment, abs=0.1 if power == 4 else 0.03)
    assert np.abs(z).max() > 3.5
    assert np.abs(np.corrcoef(z[:, 0], z[:, 1])[0, 1]) < 0.25  # neighbours are independent


@pytest.mark.parametrize(
    ("start", "variance"), [(he, 2 / 200), (glorot, 2 / (200 + 300)), (lecun, 1 / 200)]
)
def test_weights_have_their_variance(start, variance):
    w = start(jax.random.key(0), SHAPE, jnp.float32)
    assert w.dtype == jnp.float32
    assert np.var(w) == pytest.approx(variance, rel=0.03)
    half = start(jax.random.key(0), SHAPE, jnp.bfloat16)
    np.testing.assert_array_equal(half, w.astype(jnp.bfloat16))  # alike in every precision
