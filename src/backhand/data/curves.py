"""Curves and surfaces to fit, with noise and outliers as asked for, and the truth beneath them.

Inputs are uniform on [−3, 3] (line, sine, step) or its square (plane, gaussians), and clean values lie in
[−1, 1]. A set has `size` training points and as many for validation. All have Gaussian noise of standard
deviation `noise`, in y's unit. A share `outliers` of the training points, to the nearest whole number, is
then raised by 2 to 4, uniformly: all upwards, as where a sensor jams, so that they do not cancel in a mean.
Validation stays free of them. x (size, inputs) and y (size, 1) are float32.

One seed draws one set, whatever noise and outliers are asked for: a larger share of outliers takes in the
smaller one's, and two sets that differ in nothing else differ in their outliers alone.
"""

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backhand.data.dataset import Dataset, Split, check_seed

REACH = 3.0  # of each input, both ways from 0


class Clean(NamedTuple):
    """The truth beneath a set: how many inputs it has, and its value (N, 1) at x (N, inputs)."""

    inputs: int
    value: Callable[[np.ndarray], np.ndarray]


def _bump(x: np.ndarray, centre: float) -> Any:
    """exp(−‖x − c‖²/2) with c = (centre, centre)."""
    return np.exp(-((x - centre) ** 2).sum(1, keepdims=True) / 2)


CLEAN = {
    "line": Clean(1, lambda x: 0.3 * x - 0.1),
    "sine": Clean(1, lambda x: np.sin(1.5 * x)),
    "step": Clean(1, lambda x: np.where(x < 0, -1.0, 1.0)),
    "plane": Clean(2, lambda x: 0.2 * x[:, :1] - 0.1 * x[:, 1:]),
    "gaussians": Clean(2, lambda x: _bump(x, 1.2) - _bump(x, -1.2)),
}


def line(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A line, y = 0.3 x − 0.1. Raises as `check` does."""
    return _draw("line", size, noise, outliers, seed)


def sine(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A sine, y = sin 1.5 x: near one and a half periods. Raises as `check` does."""
    return _draw("sine", size, noise, outliers, seed)


def step(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A step, y = −1 where x < 0, else 1. Raises as `check` does."""
    return _draw("step", size, noise, outliers, seed)


def plane(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A plane, y = 0.2 x₁ − 0.1 x₂. Raises as `check` does."""
    return _draw("plane", size, noise, outliers, seed)


def gaussians(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """Two Gaussians, a hill and a hollow: y = exp(−‖x − c‖²/2) − exp(−‖x + c‖²/2), with c = (1.2, 1.2).

    Raises as `check` does.
    """
    return _draw("gaussians", size, noise, outliers, seed)


CURVES = {"line": line, "sine": sine, "step": step, "plane": plane, "gaussians": gaussians}


def check(caller: str, size: Any, noise: Any, outliers: Any) -> None:
    """Raise ValueError unless size is an integer ≥ 2, noise in [0, 100], and outliers in [0, 1).

    TypeError where noise or outliers is no number.
    """
    if not isinstance(size, numbers.Integral) or size < 2:
        raise ValueError(f"{caller}: size should be an integer of at least 2, got {size!r}")
    for name, value in {"noise": noise, "outliers": outliers}.items():
        if not isinstance(value, numbers.Real):
            raise TypeError(f"{caller}: {name} should be a number, got {value!r}")
    if not 0 <= noise <= 100:
        raise ValueError(f"{caller}: noise, a standard deviation, should be from 0 to 100, got {noise}")
    if not 0 <= outliers < 1:
        raise ValueError(
            f"{caller}: outliers, a share of the training points, should be in [0, 1), got {outliers}"
        )


def _draw(name: str, size: int, noise: float, outliers: float, seed: int) -> Dataset:
    check(name, size, noise, outliers)
    check_seed(name, seed)
    rng, clean = np.random.default_rng(seed), CLEAN[name]
    splits = {}
    for split in ("train", "validation"):
        x = rng.uniform(-REACH, REACH, (size, clean.inputs)).astype(np.float32)
        splits[split] = Split(x, clean.value(x) + noise * rng.standard_normal((size, 1)))
    rows, heights = rng.permutation(size), rng.uniform(2, 4, (size, 1))
    taken = rows[: round(outliers * size)]
    splits["train"].y[taken] += heights[taken]
    return Dataset(name, {split: Split(x, y.astype(np.float32)) for split, (x, y) in splits.items()})
