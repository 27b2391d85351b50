import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Linear, glorot, he, linear
from backhand.verify import assert_backward


@pytest.mark.slow
@pytest.mark.parametrize("features", [1, 5])
def test_backward(features):
    assert_backward(
        linear(features), jax.ShapeDtypeStruct((6, 3), jnp.float32), dtypes=["float32", "bfloat16"]
    )


def test_an_empty_batch_has_a_zero_gradient():
    x = jnp.zeros((0, 3))
    params = linear(2).init(jax.random.key(0), x)
    y, residuals = linear(2).forward(params, x, jax.random.key(1))
    dparams, dx = linear(2).backward(params, residuals, y)
    assert y.shape == (0, 2)
    assert dx.shape == (0, 3)
    assert not dparams.w.any()
    assert not dparams.b.any()


def test_y_is_xw_plus_b():
    params = Linear(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([10.0, 20.0]))
    np.testing.assert_array_equal(linear(2).apply(params, jnp.array([[1.0, 1.0]])), [[14.0, 26.0]])


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16])
def test_params_have_the_shape_and_dtype_of_the_input(dtype):
    params = linear(4).init(jax.random.key(0), jax.ShapeDtypeStruct((8, 3), dtype))
    assert (params.w.shape, params.w.dtype) == ((3, 4), dtype)
    assert (params.b.shape, params.b.dtype) == ((4,), dtype)
    assert not params.b.any()


def test_bias_init():
    params = linear(3, bias_init=jax.nn.initializers.ones).init(
        jax.random.key(0), jnp.zeros((2, 2))
    )
    assert (params.b == 1).all()


@pytest.mark.parametrize(
    ("features", "error", "says"),
    [
        (0, ValueError, "features should be at least 1, got 0"),
        (-3, ValueError, "got -3"),
        (2.0, TypeError, "features should be an integer, got 2.0"),
        ("10", TypeError, "got '10'"),
        (True, TypeError, "got True"),
    ],
)
def test_bad_features(features, error, says):
    with pytest.raises(error, match=says):
        linear(features)


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (
            np.zeros((2, 8, 8), np.float32),
            ValueError,
            r"got \(2, 8, 8\); x.reshape\(len\(x\), -1\)",
        ),
        (np.zeros(3, np.float32), ValueError, r"got \(3,\)"),
        (np.zeros((2, 3), np.uint8), TypeError, r"got uint8; x.astype\('float32'\) / 255"),
        ([[1.0, 2.0]], TypeError, "should be an array, got list"),
    ],
)
def test_bad_input(x, error, says):
    with pytest.raises(error, match=says):
        linear(2).init(jax.random.key(0), x)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((4, 4, 4), r"got \(4, 4, 4\)"),
        ((4, 5), r"shape \(batch, 4\), as its params do, got \(4, 5\)"),
    ],
)
def test_input_that_does_not_suit_the_params(shape, says):
    params = linear(4).init(jax.random.key(0), jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match=says):
        linear(4).forward(params, jnp.zeros(shape), jax.random.key(1))


def test_float64_is_not_rounded_in_silence():
    with (
        jax.enable_x64(False),
        pytest.raises(TypeError, match="float64, which JAX would silently round to float32"),
    ):
        linear(2).init(jax.random.key(0), np.zeros((2, 3)))


@pytest.mark.parametrize(("start", "variance"), [(he, 2 / 200), (glorot, 2 / (200 + 300))])
def test_weights_have_their_variance(start, variance):
    w = start(jax.random.key(0), (200, 300), jnp.float32)  # the sd of their variance is 0.6 %
    assert w.dtype == jnp.float32
    assert jnp.var(w) == pytest.approx(variance, rel=0.03)
