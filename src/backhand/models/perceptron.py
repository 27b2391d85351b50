"""Multi-layer perceptrons by name: what an experiment's flags can ask for, and how to build it."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from backhand import checks, layers
from backhand.combinators import serial
from backhand.layer import Layer
from backhand.layers.linear import Initializer

Activation: TypeAlias = Literal[
    "tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu"
]

# Activations, each with the start of the weights that suits it.
ACTIVATIONS: dict[Activation, tuple[Layer, Initializer]] = {
    "tanh": (layers.tanh, layers.glorot),
    "sigmoid": (layers.sigmoid, layers.glorot),
    "relu": (layers.relu, layers.he),
    "leaky_relu": (layers.leaky_relu(), layers.he),
    "elu": (layers.elu(), layers.he),
    "softplus": (layers.softplus, layers.he),
    "gelu": (layers.gelu, layers.he),
    "silu": (layers.silu, layers.he),
}


def perceptron(
    hidden: Sequence[int], outputs: int, activation: Activation = "tanh", drop: float = 0.0
) -> Layer:
    """A perceptron: linear layers of the `hidden` widths, each with the activation, then outputs.

    Without hidden layers it is linear. Weights start as suits the activation. With `drop` above 0,
    that fraction of each hidden layer's units is dropped in training. Raises TypeError or
    ValueError if `hidden` is not a sequence, a width or `outputs` not a positive integer, `drop`
    not a fraction, or no activation has that name.
    """
    if activation not in ACTIVATIONS:
        names = ", ".join(ACTIVATIONS)
        raise ValueError(
            f"perceptron: activation should be one of {names}, got {checks.shown(activation)}"
        )
    if not isinstance(hidden, Sequence):
        wanted = "a sequence of widths such as (16, 8)"
        raise TypeError(f"perceptron: hidden should be {wanted}, got {checks.shown(hidden)}")
    for width in hidden:
        checks.positive_integer("perceptron", "hidden", width)
    between, kernel_init = ACTIVATIONS[activation]
    after = [between, layers.dropout(drop)] if drop else [between]
    body = [part for width in hidden for part in (layers.linear(width, kernel_init), *after)]
    return serial(*body, layers.linear(outputs))


def perceptron_name(inputs: int, hidden: Sequence[int], outputs: int) -> str:
    """What people call it: "2-8-8-1"."""
    return "-".join(map(str, (inputs, *hidden, outputs)))
