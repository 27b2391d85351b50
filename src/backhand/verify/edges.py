"""What happens at kinks, ties and extremes, where a formula right elsewhere may come apart."""

import jax
import numpy as np
from numpy.random import Generator

from backhand.layer import Array, Tree
from backhand.verify.cases import Case
from backhand.verify.comparisons import Mismatch, compare, located, wide, worst
from backhand.verify.oracles import normal_like, one_sided
from backhand.verify.subjects import placed

SATURATED = 1e-9  # in float64, where the inputs are ±10⁴ and rounding is what is left


def at_edges(case: Case, notes: list[str], rng: Generator) -> Mismatch:
    """Inputs at kinks, ties and extremes: if the true gradient is a number, ours is the same one.

    At a kink the gradient is a convention. One that differs from JAX's is noted, and wrong only if
    it lies outside the slopes to the left and to the right.
    """
    found, subject, given = [], case.subject, case.leaves.values
    for position, value in enumerate(given):
        number, _ = case.leaves.paths[position]
        if subject.names[number] == "params" or not value.size:
            continue
        for name, edge in edge_inputs(value).items():
            values = [*given[:position], edge, *given[position + 1 :]]
            try:
                subject.check(case.leaves.merge(values))
            except (TypeError, ValueError):
                continue  # outside the function's domain
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(case.function(values))):
                continue
            dy = normal_like(case.y, rng)
            got, wanted = case.compiled(values, dy)
            mismatch = compare(case.labels, got, wanted, dy)
            where = f"{subject.names[number]} = {name}"
            kink = name in ("0", "−0", "ties") and SATURATED < mismatch.figure < np.inf
            if kink and _within_one_sided(case, values, got, wanted, dy):
                says = "the kink is taken otherwise than by jax.vjp, within its one-sided slopes"
                notes.append(f"at {where} {says}")
                continue
            found.append(located(mismatch, f"at {where}"))
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
    case: Case, values: list[Array], got: list[Array], wanted: list[Array], dy: Tree, most: int = 12
) -> bool:
    """Whether each entry that differs from JAX's lies between the slopes on its two sides."""
    for number, (g, w) in enumerate(zip(map(wide, got), map(wide, wanted), strict=True)):
        for at in np.argwhere(np.abs(g - w) > SATURATED * (1 + np.abs(w)))[:most]:
            direction = [np.zeros(value.shape) for value in values]
            direction[number][tuple(at)] = 1.0
            left, right = sorted(one_sided(case.slope(values, direction, dy)))
            slack = 1e-4 * (1 + abs(left) + abs(right))
            if not left - slack <= g[tuple(at)] <= right + slack:
                return False
    return True
