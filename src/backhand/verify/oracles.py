"""Derivatives from a function's values alone, and the directions and cotangents to ask in."""

from collections.abc import Callable

import jax
import numpy as np
from numpy.random import Generator

from backhand.layer import Tree
from backhand.verify.subjects import flatten, placed


def central_difference(f: Callable[[float], float], wanted: float) -> float:
    """f'(0) by the five-point formula, error O(h⁴), at the step h of four nearest to `wanted`.

    Rounding asks for a large h, curvature and kinks for a small one; a forward whose values do not
    follow `wanted` comes near at none. (Fornberg, "Generation of finite difference formulas on
    arbitrarily spaced grids", 1988.)
    """
    steps = (1e-2, 1e-3, 1e-4, 1e-5)
    slopes = [(8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h) for h in steps]
    return min(slopes, key=lambda s: abs(s - wanted))


def one_sided(f: Callable[[float], float], h: float = 1e-7) -> tuple[float, float]:
    """The slopes of f at 0 to the left and to the right: they differ at a kink."""
    return (f(0.0) - f(-h)) / h, (f(h) - f(0.0)) / h


def normal_like(tree: Tree, rng: Generator, scale: float = 1.0) -> Tree:
    """Random normal numbers in the shapes and dtypes of a tree."""
    return jax.tree.map(lambda a: placed(scale * rng.standard_normal(a.shape), a.dtype), tree)


def one_hot_like(tree: Tree, rng: Generator) -> Tree:
    """A tree of zeros with a single 1: the cotangent that asks for one row of the Jacobian.

    Of zeros alone, if it has no entries.
    """
    leaves, treedef = flatten(tree)
    ends = np.cumsum([leaf.size for leaf in leaves])
    hot = [np.zeros(leaf.shape) for leaf in leaves]
    if ends[-1]:
        position = int(rng.integers(ends[-1]))
        number = int(np.searchsorted(ends, position, side="right"))
        hot[number].reshape(-1)[position - int(ends[number])] = 1.0  # counted from the leaf's end
    return treedef.unflatten([placed(a, leaf.dtype) for a, leaf in zip(hot, leaves, strict=True)])
