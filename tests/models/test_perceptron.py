import jax
import jax.numpy as jnp
import pytest

from backhand.models import ACTIVATIONS, perceptron, perceptron_name


def test_layers_in_order():
    net = perceptron((8, 4), 3, "relu")
    assert [part.name for part in net.parts] == [
        "linear(8)",
        "relu",
        "linear(4)",
        "relu",
        "linear(3)",
    ]
    assert [part.name for part in perceptron((), 3).parts] == ["linear(3)"]
    assert perceptron_name(2, (8, 4), 3) == "2-8-4-3"
    assert perceptron_name(2, (), 1) == "2-1"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_weights_start_as_suits_the_activation(activation):
    params = perceptron((512,), 1, activation).init(jax.random.key(0), jnp.zeros((1, 512)))
    glorot = activation in ("tanh", "sigmoid")
    assert params[0].w.std() == pytest.approx((1 if glorot else 2) ** 0.5 / 512**0.5, rel=0.02)


def test_what_makes_no_sense():
    with pytest.raises(ValueError, match=r"activation should be one of tanh, .*, got 'tan'"):
        perceptron((8,), 1, "tan")
    with pytest.raises(ValueError, match="hidden should be at least 1, got 0"):
        perceptron((8, 0), 1)
    with pytest.raises(ValueError, match="rate should be"):
        perceptron((8,), 1, drop=1.0)


def test_hidden_units_are_dropped_and_only_those():
    assert [part.name for part in perceptron((8, 4), 3, "relu", drop=0.25).parts] == [
        "linear(8)",
        "relu",
        "dropout(0.25)",
        "linear(4)",
        "relu",
        "dropout(0.25)",
        "linear(3)",
    ]
