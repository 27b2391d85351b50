import jax
import jax.numpy as jnp
import pytest

from backhand import Layer, deterministic, linear, residual, serial, tanh
from backhand.layer import map_layers
from backhand.verify import assert_backward


def scale(factor: float) -> Layer:
    return deterministic(
        lambda key, x: jnp.asarray(1.0, x.dtype),
        lambda s, x: (factor * s * x, x),
        lambda s, x, dy: (factor * (x * dy).sum(), factor * s * dy),
    )


def test_deterministic_lifts_the_simple_form():
    layer = scale(3.0)
    x = jnp.ones((2, 3))
    assert layer.name == "scale"
    y, residuals = layer.forward(2.0, x, jax.random.key(0))
    assert jnp.array_equal(y, 6 * x)
    assert jnp.array_equal(layer.apply(2.0, x), y)
    assert residuals is x
    assert_backward(layer, jax.ShapeDtypeStruct((4, 3), jnp.float32))


def test_a_layer_reads_as_its_name():
    assert repr([linear(3), tanh]) == "[<Layer linear(3)>, <Layer tanh>]"


def test_a_layer_cannot_be_changed():
    with pytest.raises(AttributeError):
        tanh.name = "other"


def test_map_layers_visits_every_layer_after_its_parts():
    net = serial(linear(3), residual(serial(linear(3), tanh)))
    seen = []

    def visit(path, layer):
        seen.append((path, layer.name))
        return layer

    same = map_layers(visit, net)
    assert seen == [
        ((0,), "linear(3)"),
        ((1, 0, 0), "linear(3)"),
        ((1, 0, 1), "tanh"),
        ((1, 0), "serial"),
        ((1,), "residual"),
        ((), "serial"),
    ]
    x = jnp.ones((2, 5))
    params = net.init(jax.random.key(0), x)
    assert jnp.array_equal(same.apply(params, x), net.apply(params, x))


def test_map_layers_replaces_what_runs():
    doubled = map_layers(
        lambda path, layer: layer._replace(apply=lambda p, x: 2 * layer.apply(p, x)),
        serial(tanh, tanh),
    )
    x = jnp.ones((1, 1))
    assert jnp.allclose(doubled.apply(((), ()), x), 2 * 2 * jnp.tanh(2 * jnp.tanh(x)))
