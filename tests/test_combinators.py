import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Layer, linear, parallel, residual, serial, softmax, tanh
from backhand.verify import assert_backward

NETS = {
    "identity": serial(),
    "one branch": parallel(tanh),
    "all of them": serial(
        linear(4),
        residual(parallel(linear(4), serial(residual(tanh), linear(4)))),
        linear(3),
        softmax,
    ),
}


@pytest.mark.parametrize(
    "name", ["identity", "one branch", pytest.param("all of them", marks=pytest.mark.slow)]
)
def test_backward(name):
    assert_backward(NETS[name], jax.ShapeDtypeStruct((6, 5), jnp.float32))


def noise() -> Layer:
    """A layer whose forward needs its key: y = x + noise, so backward is the identity."""
    return Layer(
        init=lambda key, x: (),
        apply=lambda params, x: x,
        forward=lambda params, x, key: (x + jax.random.normal(key, x.shape, x.dtype), ()),
        backward=lambda params, residuals, dy: ((), dy),
        name="noise",
    )


@pytest.mark.parametrize("combine", [serial, parallel])
def test_each_layer_has_a_key_of_its_own(combine):
    net = combine(noise(), noise())
    x = jnp.zeros((1000, 1))
    y, _ = net.forward(net.init(jax.random.key(0), x), x, jax.random.key(1))
    # One key for both would make the noise 2z, of variance 4.
    assert np.var(y) == pytest.approx(2, rel=0.2)


def test_residual_passes_its_key_on():
    net = residual(noise())
    x = jnp.zeros((4, 1))
    y0, y1 = (net.forward((), x, jax.random.key(seed))[0] for seed in (0, 1))
    assert not jnp.array_equal(y0, y1)
    assert jnp.array_equal(net.apply((), x), 2 * x)


def test_each_layer_starts_from_a_key_of_its_own():
    params = serial(linear(4), linear(4)).init(jax.random.key(0), jnp.zeros((2, 4)))
    assert not jnp.array_equal(params[0].w, params[1].w)


def test_an_empty_batch():
    net, x = NETS["all of them"], jnp.zeros((0, 5))
    params = net.init(jax.random.key(0), x)

    @jax.jit
    def there_and_back(params, x):
        y, residuals = net.forward(params, x, jax.random.key(1))
        return y, *net.backward(params, residuals, y)

    y, dparams, dx = there_and_back(params, x)
    assert (y.shape, dx.shape) == ((0, 3), (0, 5))
    assert not any(leaf.any() for leaf in jax.tree.leaves(dparams))


@pytest.mark.parametrize(
    ("make", "layers", "error", "says"),
    [
        (
            serial,
            [linear, tanh],
            TypeError,
            r"argument 1 should be a Layer.*did you mean linear\(...\)\?",
        ),
        (serial, [[linear(2), tanh]], TypeError, r"unpack it: serial\(\*layers\)"),
        (serial, [linear(2), 10], TypeError, "argument 2 should be a Layer, got 10"),
        (residual, [None], TypeError, "got None"),
        (parallel, [], ValueError, "at least 1 layer, got 0"),
    ],
)
def test_what_is_not_a_layer(make, layers, error, says):
    with pytest.raises(error, match=says):
        make(*layers)


@pytest.mark.parametrize(
    "net", [residual(linear(3)), parallel(linear(3), linear(1))], ids=["residual", "parallel"]
)
def test_outputs_that_cannot_be_summed(net):
    with pytest.raises(
        ValueError, match=rf"{net.name}: what is summed should have one shape, but .*\(2, 3\)"
    ):
        net.init(jax.random.key(0), jnp.zeros((2, 5)))
