"""Every activation, and softmax, against jax.nn, and at extremes.

What is asked of all of them is asked in one program, which is soon compiled.
"""

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
KINKED = [layer for layer in REFERENCE if layer.name.split("(")[0] in ("relu", "leaky_relu", "elu")]


@jax.jit
def by_hand(x, dy):
    """Each layer's y, and its dx."""
    found = {}
    for layer in REFERENCE:
        y, residuals = layer.forward((), x, jax.random.key(0))
        dparams, dx = layer.backward((), residuals, dy)
        assert dparams == ()
        assert y.dtype == dx.dtype == x.dtype
        found[layer.name] = y, dx
    return found


@jax.jit
def by_jax(x, dy):
    """The same of jax.nn's functions."""
    found = {}
    for layer, function in REFERENCE.items():
        y, pull = jax.vjp(function, x)
        found[layer.name] = y, pull(dy)[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("layer", [tanh, softmax], ids=lambda layer: layer.name)
def test_backward_with_more_axes(layer):
    """With two axes, every layer is checked as the catalogue is."""
    assert_backward(layer, jax.ShapeDtypeStruct((4, 3, 2), jnp.float32))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_agrees_with_jax_nn_and_keeps_the_dtype(dtype):
    x, dy = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(dtype)
    ulp, wanted = float(jnp.finfo(dtype).eps), by_jax(x, dy)
    for name, (y, dx) in by_hand(x, dy).items():
        np.testing.assert_allclose(y, wanted[name][0], atol=4 * ulp, rtol=4 * ulp, err_msg=name)
        np.testing.assert_allclose(dx, wanted[name][1], atol=10 * ulp, rtol=10 * ulp, err_msg=name)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_finite_at_extremes(dtype):
    x, dy = np.zeros((2, 6, 4), dtype)
    x[:2] = [[1e4, -1e4, 0.0, -0.0], [100.0, -100.0, 20.0, -20.0]]
    dy[:2] = [[1.0, -2.0, 0.5, 3.0], [1.0, 1.0, -1.0, 1.0]]
    wide = by_jax(x.astype(np.float64), dy.astype(np.float64))
    ulp = float(jnp.finfo(dtype).eps)
    for name, (y, dx) in by_hand(x, dy).items():
        assert jnp.isfinite(y).all(), name
        dx, wanted = np.asarray(dx, np.float64), wide[name][1]
        np.testing.assert_allclose(dx, wanted, atol=20 * ulp, rtol=20 * ulp, err_msg=name)


def test_slopes_at_the_kink_follow_jax_nn():
    """At 0 and −0, and far from them, by hand and by autodiff of the forward."""
    x, dy = jnp.array([[0.0, -0.0, 1e4, -1e4]]), jnp.full((1, 4), 2.0)

    @jax.jit
    def slopes(x, dy):
        return [
            (
                layer.backward((), layer.forward((), x, jax.random.key(0))[1], dy)[1],
                jax.vjp(REFERENCE[layer], x)[1](dy)[0],
                jax.vjp(lambda x, layer=layer: layer.apply((), x), x)[1](dy)[0],
            )
            for layer in KINKED
        ]

    for layer, (dx, of_reference, of_forward) in zip(KINKED, slopes(x, dy), strict=True):
        np.testing.assert_array_equal(dx, of_reference, layer.name)
        np.testing.assert_array_equal(dx, of_forward, layer.name)


def test_nan_stays_nan():
    """A broken net must not look like a dead one."""
    x = np.ones((6, 4), np.float32)
    x[0, 0] = np.nan
    for name, (y, _) in by_hand(x, x).items():
        assert jnp.isnan(y[0, 0]), name


def test_tanh_keeps_its_digits_where_it_is_flat():
    x = jnp.linspace(2, 8, 25, dtype=jnp.float32)[None]
    y, residuals = tanh.forward((), x, jax.random.key(0))
    _, dx = tanh.backward((), residuals, jnp.ones_like(y))
    # All that is left to lose is y's own rounding, half an ulp of 1, next to 1 − y.
    wide = np.asarray(y, np.float64)
    np.testing.assert_allclose(dx, 1 - wide**2, rtol=1e-6)


@pytest.mark.parametrize("make", [leaky_relu, elu])
def test_a_numpy_hyperparameter_leaves_the_dtype_alone(make):
    x, layer = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16), make(np.float32(0.1))
    y, residuals = jax.eval_shape(lambda x: layer.forward((), x, None), x)
    _, dx = jax.eval_shape(lambda r, dy: layer.backward((), r, dy), residuals, x)
    assert y.dtype == dx.dtype == jnp.bfloat16


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
