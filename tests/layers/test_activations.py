"""Every activation, and softmax, against jax.nn, and at extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import elu, gelu, leaky_relu, relu, sigmoid, silu, softmax, softplus, tanh
from backhand.verify import assert_backward

REFERENCE = {
    tanh: jnp.tanh,
    sigmoid: jax.nn.sigmoid,
    relu: jax.nn.relu,
    leaky_relu(): jax.nn.leaky_relu,
    leaky_relu(0.3): lambda x: jax.nn.leaky_relu(x, 0.3),
    elu(): jax.nn.elu,
    elu(0.5): lambda x: jax.nn.elu(x, 0.5),
    softplus: jax.nn.softplus,
    gelu: lambda x: jax.nn.gelu(x, approximate=False),
    silu: jax.nn.silu,
    softmax: jax.nn.softmax,
}
layers = pytest.mark.parametrize("layer", REFERENCE, ids=lambda layer: layer.name)


@pytest.mark.parametrize("layer", [tanh, softmax], ids=lambda layer: layer.name)
def test_backward_with_more_axes(layer):
    """With two axes, every layer is checked as the catalogue is."""
    assert_backward(layer, jax.ShapeDtypeStruct((4, 3, 2), jnp.float32))


def vjp_of_reference(layer, x, dy):
    return jax.vjp(REFERENCE[layer], x)[1](dy)[0]


@layers
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_agrees_with_jax_nn_and_keeps_the_dtype(layer, dtype):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((6, 5)), dtype)
    dy = jnp.asarray(np.random.default_rng(1).standard_normal((6, 5)), dtype)
    y, residuals = layer.forward((), x, jax.random.key(0))
    dparams, dx = layer.backward((), residuals, dy)
    assert y.dtype == dx.dtype == dtype
    assert dparams == ()
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(y, REFERENCE[layer](x), atol=4 * ulp, rtol=4 * ulp)
    np.testing.assert_allclose(dx, vjp_of_reference(layer, x, dy), atol=10 * ulp, rtol=10 * ulp)


@layers
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_finite_at_extremes(layer, dtype):
    x = jnp.asarray([[1e4, -1e4, 0.0, -0.0], [100.0, -100.0, 20.0, -20.0]], dtype)
    y, residuals = layer.forward((), x, jax.random.key(0))
    dy = jnp.asarray([[1.0, -2.0, 0.5, 3.0], [1.0, 1.0, -1.0, 1.0]], dtype)
    _, dx = layer.backward((), residuals, dy)
    assert jnp.isfinite(y).all()
    assert jnp.isfinite(dx).all()
    ulp = float(jnp.finfo(dtype).eps)
    wide = np.asarray(vjp_of_reference(layer, x.astype(jnp.float64), dy.astype(jnp.float64)))
    np.testing.assert_allclose(np.asarray(dx, np.float64), wide, atol=20 * ulp, rtol=20 * ulp)


@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (relu, jax.nn.relu),
        (leaky_relu(0.3), lambda x: jax.nn.leaky_relu(x, 0.3)),
        (elu(0.5), lambda x: jax.nn.elu(x, 0.5)),
    ],
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_kink_follows_jax_nn(layer, reference, zero):
    x, dy = jnp.array([[zero]]), jnp.array([[2.0]])
    _, residuals = layer.forward((), x, jax.random.key(0))
    _, dx = layer.backward((), residuals, dy)
    assert dx == jax.vjp(reference, x)[1](dy)[0]
    assert dx == jax.vjp(lambda x: layer.apply((), x), x)[1](dy)[0]


@layers
def test_nan_stays_nan(layer):
    """A broken net must not look like a dead one."""
    assert jnp.isnan(layer.apply((), jnp.array([[jnp.nan, 1.0]]))[0, 0])


def test_tanh_keeps_its_digits_where_it_is_flat():
    x = jnp.linspace(2, 8, 25, dtype=jnp.float32)[None]
    y, residuals = tanh.forward((), x, jax.random.key(0))
    _, dx = tanh.backward((), residuals, jnp.ones_like(y))
    # All that is left to lose is y's own rounding, half an ulp of 1, next to 1 − y.
    wide = np.asarray(y, np.float64)
    np.testing.assert_allclose(dx, 1 - wide**2, rtol=1e-6)


@pytest.mark.parametrize("make", [leaky_relu, elu])
def test_a_numpy_hyperparameter_leaves_the_dtype_alone(make):
    x = jnp.ones((2, 3), jnp.bfloat16)
    layer = make(np.float32(0.1))
    y, residuals = layer.forward((), x, jax.random.key(0))
    assert y.dtype == layer.backward((), residuals, x)[1].dtype == jnp.bfloat16


def test_softmax_sums_to_one_and_takes_minus_infinity():
    x = jnp.array([[1.0, -jnp.inf, 2.0], [1e4, 1e4, -1e4]])
    y, residuals = softmax.forward((), x, jax.random.key(0))
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-15)
    np.testing.assert_allclose(y, [[1 / (1 + np.e), 0, np.e / (1 + np.e)], [0.5, 0.5, 0]])
    _, dx = softmax.backward((), residuals, jnp.array([[1.0, 5.0, -1.0], [1.0, 2.0, 3.0]]))
    assert jnp.isfinite(dx).all()
    assert dx[0, 1] == 0
    np.testing.assert_allclose(dx.sum(1), 0, atol=1e-15)


@pytest.mark.parametrize("make", [leaky_relu, elu])
@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (None, TypeError)],
)
def test_bad_hyperparameters(make, value, error):
    with pytest.raises(error, match=f"{make.__name__}: .* got {value!r}"):
        make(value)
