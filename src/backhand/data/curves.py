"""Curves and surfaces to fit, with noise and outliers as asked for, and the truth beneath them.

Inputs are uniform on [−3, 3] (line, sine, step) or its square (plane, gaussians), and clean values
lie in [−1, 1]. A set has `size` training points and as many for validation. All have Gaussian noise
of standard deviation `noise`, in y's unit. A share `outliers` of the training points, to the
nearest whole number, is then raised by 2 to 4, uniformly: all upwards, as when a sensor jams, so
that they do not cancel in a mean. Validation stays free of them. x (size, inputs) and y (size, 1)
are float32.

One seed draws one set, whatever noise and outliers are asked for: a larger share of outliers
includes the smaller one's, and two sets that differ in nothing else differ in their outliers alone.

All raise TypeError or ValueError as `check` does.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from backhand import checks
from backhand.data.dataset import Dataset, Split

REACH = 3.0  # of each input, both ways from 0


class Clean(NamedTuple):
    """The truth beneath a set: how many inputs it has, and its value (N, 1) at x (N, inputs)."""

    inputs: int
    value: Callable[[np.ndarray], np.ndarray]


def _bump(x: np.ndarray, centre: float) -> np.ndarray:
    """exp(−‖x − c‖²/2) with c = (centre, centre)."""
    return np.asarray(np.exp(-((x - centre) ** 2).sum(1, keepdims=True) / 2))


CLEAN = {
    "line": Clean(1, lambda x: 0.3 * x - 0.1),
    "sine": Clean(1, lambda x: np.sin(1.5 * x)),
    "step": Clean(1, lambda x: np.where(x < 0, -1.0, 1.0)),
    "plane": Clean(2, lambda x: 0.2 * x[:, :1] - 0.1 * x[:, 1:]),
    "gaussians": Clean(2, lambda x: _bump(x, 1.2) - _bump(x, -1.2)),
}


def line(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A line, y = 0.3 x − 0.1."""
    return _draw("line", size, noise, outliers, seed)


def sine(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A sine, y = sin 1.5 x: nearly one and a half periods."""
    return _draw("sine", size, noise, outliers, seed)


def step(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A step, y = −1 if x < 0, else 1."""
    return _draw("step", size, noise, outliers, seed)


def plane(size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0) -> Dataset:
    """A plane, y = 0.2 x₁ − 0.1 x₂."""
    return _draw("plane", size, noise, outliers, seed)


def gaussians(
    size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0
) -> Dataset:
    """A hill and a hollow: y = exp(−‖x − c‖²/2) − exp(−‖x + c‖²/2), with c = (1.2, 1.2)."""
    return _draw("gaussians", size, noise, outliers, seed)


CURVES = {"line": line, "sine": sine, "step": step, "plane": plane, "gaussians": gaussians}


def check(caller: str, size: object, noise: object, outliers: object) -> None:
    """Raise unless size is an integer ≥ 2, noise from 0 to 100, and outliers in [0, 1)."""
    checks.positive_integer(caller, "size", size, least=2)
    checks.within(caller, "noise, a standard deviation,", noise, 0, 100)
    checks.fraction(caller, "outliers, a share of the training points,", outliers)


def _draw(name: str, size: int, noise: float, outliers: float, seed: int) -> Dataset:
    check(name, size, noise, outliers)
    checks.positive_integer(name, "seed", seed, least=0)
    rng, clean = np.random.default_rng(seed), CLEAN[name]
    splits = {}
    for split in ("train", "validation"):
        x = rng.uniform(-REACH, REACH, (size, clean.inputs)).astype(np.float32)
        splits[split] = x, clean.value(x) + noise * rng.standard_normal((size, 1))
    rows, heights = rng.permutation(size), rng.uniform(2, 4, (size, 1))
    taken = rows[: round(outliers * size)]
    splits["train"][1][taken] += heights[taken]
    return Dataset(name, {part: Split(x, y.astype(np.float32)) for part, (x, y) in splits.items()})
