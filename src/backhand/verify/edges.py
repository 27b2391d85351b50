"""What happens at kinks, ties and extremes, where a formula right elsewhere may come apart."""

from collections.abc import Sequence

import jax
import numpy as np
from numpy.random import Generator

from backhand.layer import Array, Tree
from backhand.verify.cases import Case, normal_like
from backhand.verify.comparisons import Mismatch, compare, wide, worst
from backhand.verify.subjects import placed

SATURATED = 1e-9  # in float64, where the inputs are ±10⁴ and rounding is what is left


def at_edges(case: Case, notes: list[str], rng: Generator) -> Mismatch:
    """Inputs at kinks, ties and extremes: if the true gradient is a number, ours is the same one.

    At a kink the gradient is a convention. One that differs from JAX's is noted, and wrong only if
    it lies outside the slopes to the left and to the right.
    """
    found = []
    for i, (owner, value) in enumerate(zip(case.owners, case.values, strict=True)):
        edges = edge_inputs(value) if owner != "params" and value.size else {}
        for name, edge in edges.items():
            values = [*case.values[:i], edge, *case.values[i + 1 :]]
            try:
                y = case.function(values)
            except (TypeError, ValueError):
                continue  # outside the function's domain
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(y)):
                continue
            dy = normal_like(case.y, rng)
            got, wanted = case.compiled(values, dy)
            mismatch = compare(case.labels, got, wanted, dy)
            kink = name in ("0", "−0", "ties") and SATURATED < mismatch.figure < np.inf
            if kink and _within_one_sided(case, values, got, wanted, dy):
                says = "the kink is taken otherwise than by jax.vjp, within its one-sided slopes"
                notes.append(f"at {owner} = {name} {says}")
            else:
                found.append(mismatch.at(f"at {owner} = {name}"))
    return worst(found)


def edge_inputs(value: Array) -> dict[str, Array]:
    """The value made into each edge, by name; −inf only if a row has other entries."""
    a, flat = np.asarray(value), np.arange(value.size).reshape(value.shape)
    edges = {
        "0": np.zeros_like(a),
        "−0": -np.zeros_like(a),
        "ties": np.where(flat % 3 == 0, a, a.reshape(-1)[0]),
        "±1e4": np.where(flat % 2 == 0, 1e4, -1e4),
    }
    if value.ndim and value.shape[-1] > 1:
        edges["−inf here and there"] = np.where(flat % value.shape[-1] == 1, -np.inf, a)
    return {name: placed(edge, value.dtype) for name, edge in edges.items()}


def _within_one_sided(
    case: Case, values: list[Array], got: Sequence[Array], wanted: Sequence[Array], dy: Tree
) -> bool:
    """Whether entries that differ, a dozen of a leaf, lie between the slopes on their two sides."""
    for number, (g, w) in enumerate(zip(map(wide, got), map(wide, wanted), strict=True)):
        for at in map(tuple, np.argwhere(np.abs(g - w) > SATURATED * (1 + np.abs(w)))[:12]):
            direction = [np.zeros(value.shape) for value in values]
            direction[number][at] = 1.0
            f, h = case.slope(values, direction, dy), 1e-7
            left, right = sorted([(f(0.0) - f(-h)) / h, (f(h) - f(0.0)) / h])
            slack = 1e-4 * (1 + abs(left) + abs(right))
            if not left - slack <= g[at] <= right + slack:
                return False
    return True
