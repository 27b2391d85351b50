"""Multi-layer perceptrons by name: what an experiment's flags can ask for, and how to build it."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from jax.nn.initializers import Initializer

from backhand import checks
from backhand.combinators import serial
from backhand.layer import Layer
from backhand.layers import (
    dropout,
    elu,
    gelu,
    glorot,
    he,
    leaky_relu,
    linear,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)

Activation: TypeAlias = Literal["tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu"]

# Activations, each with the start of the weights that suits it.
ACTIVATIONS: dict[Activation, tuple[Layer, Initializer]] = {
    "tanh": (tanh, glorot),
    "sigmoid": (sigmoid, glorot),
    "relu": (relu, he),
    "leaky_relu": (leaky_relu(), he),
    "elu": (elu(), he),
    "softplus": (softplus, he),
    "gelu": (gelu, he),
    "silu": (silu, he),
}

def perceptron(
    hidden: Sequence[int], outputs: int, activation: Activation = "tanh", drop: float = 0.0
) -> Layer:
    """A perceptron: linear layers of the `hidden` widths, the activation after each, then linear(outputs).

    Without hidden layers it is linear. Weights start as suits the activation. With `drop` above 0, that fraction of
    each hidden layer's units is dropped in training. Raises TypeError or ValueError where `hidden` is no sequence, a
    width or `outputs` not a positive integer, `drop` no fraction, or no activation has that name.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"perceptron: activation should be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    if not isinstance(hidden, Sequence):
        raise TypeError(f"perceptron: hidden should be a sequence of widths such as (16, 8), got {hidden!r}")
    for width in hidden:
        checks.positive_integer("perceptron", "hidden", width)
    between, kernel_init = ACTIVATIONS[activation]
    after = [between, dropout(drop)] if drop else [between]
    body = [layer for width in hidden for layer in (linear(width, kernel_init), *after)]
    return serial(*body, linear(outputs))


def perceptron_name(inputs: int, hidden: Sequence[int], outputs: int) -> str:
    """What people call it: "2-8-8-1"."""
    return "-".join(map(str, (inputs, *hidden, outputs)))
