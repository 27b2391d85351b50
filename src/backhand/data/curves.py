"""Curves and surfaces to fit, with noise and outliers as asked for, and the truth beneath them."""

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


def curve(
    name: str, size: int = 200, noise: float = 0.05, outliers: float = 0.0, seed: int = 0
) -> Dataset:
    """A curve or a surface to fit, by name.

        line       y = 0.3 x − 0.1
        sine       y = sin 1.5 x, nearly one and a half periods
        step       y = −1 if x < 0, else 1
        plane      y = 0.2 x₁ − 0.1 x₂
        gaussians  a hill and a hollow, y = exp(−‖x − c‖²/2) − exp(−‖x + c‖²/2), c = (1.2, 1.2)

    There are `size` training points and as many for validation: x (size, inputs) and y (size, 1),
    float32. Inputs are uniform on [−3, 3] or its square, and clean values lie in [−1, 1]. All have
    Gaussian noise of standard deviation `noise`, in y's unit. A share `outliers` of the training
    points, to the nearest whole number, is then raised by 2 to 4, uniformly: all upwards, as when a
    sensor jams, so that they do not cancel in a mean. Validation stays free of them.

    One seed draws one set, whatever noise and outliers are asked for: a larger share of outliers
    includes the smaller one's, and two sets that differ in nothing else differ in their outliers
    alone. Raises TypeError or ValueError if there is no such name, the seed is not an integer ≥ 0,
    or as `check` does.
    """
    if name not in CLEAN:
        raise ValueError(f"curve: name should be one of {', '.join(CLEAN)}, got {name!r}")
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


def check(caller: str, size: object, noise: object, outliers: object) -> None:
    """Raise unless size is an integer ≥ 2, noise from 0 to 100, and outliers in [0, 1)."""
    checks.positive_integer(caller, "size", size, least=2)
    checks.within(caller, "noise, a standard deviation,", noise, 0, 100)
    checks.fraction(caller, "outliers, a share of the training points,", outliers)
