"""Optimizers by name, for settings: all are optax's."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import optax

Optimizer: TypeAlias = Literal["sgd", "momentum", "adam"]

OPTIMIZERS: dict[Optimizer, Callable[[float], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": optax.adam,
}
