import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import linear, parallel, scale_pixels, serial

BYTES = np.array([[0, 51, 255]], np.uint8)


def test_bytes_become_ink_and_have_no_gradient():
    y, residuals = scale_pixels.forward((), BYTES, jax.random.key(0))
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-7)
    assert scale_pixels.backward((), residuals, y) == ((), None)


def test_numbers_pass():
    x = jnp.ones((1, 3), jnp.bfloat16)
    y, residuals = scale_pixels.forward((), x, jax.random.key(0))
    assert y is x
    assert scale_pixels.backward((), residuals, x)[1] is x


@pytest.mark.parametrize("branch", [linear(2), serial(linear(2))])
def test_at_the_start_of_a_net(branch):
    """The net learns from bytes as from ink, alone and in branches."""
    net = parallel(serial(scale_pixels, branch), serial(scale_pixels, linear(2)))
    params = net.init(jax.random.key(0), BYTES)

    def gradient(x):
        y, residuals = net.forward(params, x, jax.random.key(0))
        return net.backward(params, residuals, jnp.ones_like(y))

    dparams, dx = gradient(BYTES)
    wanted, dink = gradient(BYTES.astype(np.float32) / np.float32(255))
    assert dx is None
    assert dink.shape == (1, 3)
    for a, b in zip(jax.tree.leaves(dparams), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.int32, np.int8, bool])
def test_other_integers_are_refused(dtype):
    with pytest.raises(TypeError, match=r"scale_pixels: x should be uint8 or floating, got"):
        scale_pixels.apply((), jnp.zeros((1, 3), dtype))
