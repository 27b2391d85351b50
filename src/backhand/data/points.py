"""Classes of points in the plane: sets on which a boundary can be watched as it bends.

    lesson                      two clouds a class, and some labels wrong
    gauss circle xor spiral     after TensorFlow Playground (Smilkov et al., 2017)
    moons                       two half-circles, interlocked
    blobs spirals               the same ideas for any number of classes

Each takes `size`, the number of points in all classes together, which get as many each (the first
ones one more, if that doesn't divide); `noise`; and `seed`, an integer ≥ 0, which draws points,
noise and split. Points are drawn from the set's geometry, given in its docstring, where U(a, b) is
uniform and t is U(0, 1); then normal noise of standard deviation `noise`, in units of the plane, is
added to each coordinate. They come as `Dataset`s of 80 % to train and 20 % to validate, stratified:
x (points, 2) float32, y (points,) int32.

All raise TypeError or ValueError, naming the argument, if size, noise, seed or classes make no
sense, and ImportError, with what to install, if scikit-learn is missing.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from backhand import checks
from backhand.data.dataset import Dataset
from backhand.data.scikit_learn import scikit_learn, stratified

LEAST = 5  # points a class, so that one of them is there to validate


def lesson(size: int = 100, noise: float = 0.2, seed: int = 0) -> Dataset:
    """Two informative features, and labels of which a share, `noise`, from 0 to 0.5, is flipped.

    scikit-learn's make_classification: two normal clouds a class, centred on corners of a square,
    each stretched and turned at random. The share is exact, while make_classification's own flip_y
    draws labels again, and half of them stay as they were. No classifier is right more often than
    1 − noise on average.
    """
    _check("lesson", size, noise, seed, most_noise=0.5)
    x, y = scikit_learn().datasets.make_classification(
        size, n_features=2, n_redundant=0, flip_y=0, random_state=seed
    )
    flipped = np.random.default_rng(seed).permutation(size)[: round(noise * size)]
    y[flipped] = 1 - y[flipped]
    return split("lesson", x.astype(np.float32), y, ("class 0", "class 1"), seed)


def gauss(size: int = 500, noise: float = 0.5, seed: int = 0) -> Dataset:
    """Two normal clouds about (−1, −1) and (1, 1): a line does as well as anything can."""
    return _noisy("gauss", size, noise, seed, lambda rng, y: np.outer(2 * y - 1, (1, 1)))


def circle(size: int = 500, noise: float = 0.06, seed: int = 0) -> Dataset:
    """A disc in a ring: r (cos 2πt, sin 2πt), r from U(0, 0.5) or, in class 1, U(0.7, 1)."""

    def draw(rng: Generator, y: np.ndarray) -> np.ndarray:
        r = np.where(y == 0, rng.uniform(0, 0.5, len(y)), rng.uniform(0.7, 1, len(y)))
        return _polar(r, rng.uniform(0, 1, len(y)))

    return _noisy("circle", size, noise, seed, draw)


def xor(size: int = 500, noise: float = 0.05, seed: int = 0) -> Dataset:
    """Exclusive or: (±u, ±v), both of U(0.1, 1); class 0 if the signs are the same, else 1."""

    def draw(rng: Generator, y: np.ndarray) -> np.ndarray:
        sign = rng.choice([-1, 1], len(y))
        signs = np.stack([sign, np.where(y == 0, sign, -sign)], axis=1)
        return signs * rng.uniform(0.1, 1, signs.shape)

    return _noisy("xor", size, noise, seed, draw)


def moons(size: int = 500, noise: float = 0.15, seed: int = 0) -> Dataset:
    """Two interlocked half-circles: (cos πt − ½, sin πt − ¼), and that turned by 180° about 0."""

    def draw(rng: Generator, y: np.ndarray) -> np.ndarray:
        moon = _polar(np.array(1), rng.uniform(0, 0.5, len(y))) - (0.5, 0.25)
        return np.where(y[:, None] == 0, moon, -moon)

    return _noisy("moons", size, noise, seed, draw)


def spiral(size: int = 500, noise: float = 0.04, seed: int = 0) -> Dataset:
    """Two arms of 1.75 turns each: `spirals` of two classes."""
    return _arms("spiral", size, noise, seed, 2)


def spirals(size: int = 500, noise: float = 0.04, seed: int = 0, classes: int = 3) -> Dataset:
    """An arm a class k = 0 … K−1: r (cos 2πa, sin 2πa), r = 0.1 + 0.9 t, turns a = 3.5 t/K + k/K.

    The more arms there are the less each turns, so that they stay as far apart.
    """
    return _arms("spirals", size, noise, seed, classes)


def blobs(size: int = 500, noise: float = 0.2, seed: int = 0, classes: int = 5) -> Dataset:
    """A normal cloud a class, centred on the corners of a regular polygon with sides of 1."""

    def draw(_: Generator, y: np.ndarray) -> np.ndarray:
        return _polar(np.array(0.5 / math.sin(math.pi / classes)), y / classes)

    return _noisy("blobs", size, noise, seed, draw, classes)


def split(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str],
    seed: int,
    feature_names: Sequence[str] = ("x1", "x2"),
) -> Dataset:
    """Points and labels as a Dataset: 80 % of each class, drawn by `seed`, train; 20 % validate."""
    train, validation = stratified(x, y.astype(np.int32), 0.2, seed)
    splits = {"train": train, "validation": validation}
    return Dataset(name, splits, tuple(class_names), feature_names=tuple(feature_names))


def _arms(name: str, size: int, noise: float, seed: int, classes: int) -> Dataset:
    def draw(rng: Generator, y: np.ndarray) -> np.ndarray:
        t = rng.uniform(0, 1, len(y))
        return _polar(0.1 + 0.9 * t, (3.5 * t + y) / classes)

    return _noisy(name, size, noise, seed, draw, classes)


def _noisy(
    name: str,
    size: int,
    noise: float,
    seed: int,
    draw: Callable[[Generator, np.ndarray], np.ndarray],
    classes: int = 2,
) -> Dataset:
    """What all sets but the lesson's share: `draw(rng, y)` gives a point a label."""
    _check(name, size, noise, seed, classes=classes)
    rng = np.random.default_rng(seed)
    y = np.arange(size) % classes
    x = draw(rng, y) + noise * rng.normal(size=(size, 2))
    return split(name, x.astype(np.float32), y, [f"class {k}" for k in range(classes)], seed)


def _polar(r: np.ndarray, turns: np.ndarray) -> np.ndarray:
    return np.stack([r * np.cos(2 * np.pi * turns), r * np.sin(2 * np.pi * turns)], axis=1)


def _check(
    name: str, size: int, noise: float, seed: int, most_noise: float = 100.0, classes: int = 2
) -> None:
    checks.positive_integer(name, "seed", seed, least=0)
    checks.positive_integer(name, "classes", classes, least=2)
    if checks.positive_integer(name, "size", size) < LEAST * classes:
        least = f"{LEAST * classes}, {LEAST} points for each of {classes} classes"
        raise ValueError(f"{name}: size should be at least {least}, got {size}")
    checks.within(name, "noise", noise, 0, most_noise)
