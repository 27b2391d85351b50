"""What happens at kinks, ties and extremes, where a formula that is right elsewhere may come apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand.verify.cases import Case
from backhand.verify.comparisons import Mismatch, compare, located, wide, worst
from backhand.verify.oracles import normal_like, one_sided, slope
from backhand.verify.subjects import Subject

SATURATED = 1e-9  # in float64, where the inputs are ±10⁴ and rounding is what is left


def at_edges(
    subject: Subject, case: Case, compiled: Any, notes: list[str], rng: np.random.Generator
) -> Mismatch:
    """Inputs at kinks, ties and extremes: wherever the true gradient is a number, so is ours, and the same one.

    At a kink the gradient is a convention. One that differs from JAX's is noted, and wrong only if it lies
    outside the slopes to the left and to the right.
    """
    found = []
    for position, value in enumerate(case.leaves.values):
        number, _ = case.leaves.paths[position]
        if subject.names[number] == "params" or not value.size:
            continue
        for name, edge in edge_inputs(value).items():
            values = [*case.leaves.values[:position], edge, *case.leaves.values[position + 1 :]]
            arguments = case.leaves.merge(values)
            try:
                subject.check(arguments)
            except (TypeError, ValueError):
                continue  # outside the function's domain
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(subject.function(arguments))):
                continue
            dy = normal_like(case.y, rng)
            got, wanted = compiled(values, dy)
            mismatch = compare(case.labels, got, wanted, dy)
            where = f"{subject.names[number]} = {name}"
            kink = name in ("0", "−0", "ties") and SATURATED < mismatch.figure < np.inf
            if kink and _within_one_sided(subject, case, values, got, wanted, dy):
                notes.append(
                    f"at {where} the kink is taken otherwise than by jax.vjp, within its one-sided slopes"
                )
                continue
            found.append(located(mismatch, f"at {where}"))
    return worst(found)


def edge_inputs(value: Any) -> dict[str, Any]:
    """The value made into each edge, by name; −inf only where a row has other entries."""
    flat = jnp.arange(value.size).reshape(value.shape)
    edges = {
        "0": jnp.zeros_like(value),
        "−0": -jnp.zeros_like(value),
        "ties": jnp.where(flat % 3 == 0, value, value.reshape(-1)[0]),
        "±1e4": jnp.where(flat % 2 == 0, 1e4, -1e4).astype(value.dtype),
    }
    if value.ndim and value.shape[-1] > 1:
        edges["−inf here and there"] = jnp.where(flat % value.shape[-1] == 1, -jnp.inf, value)
    return edges


def _within_one_sided(
    subject: Subject,
    case: Case,
    values: list[Any],
    got: list[Any],
    wanted: list[Any],
    dy: Any,
    most: int = 12,
) -> bool:
    """Whether each entry that differs from JAX's lies between the slopes on its two sides."""
    arguments = case.leaves.merge(values)
    for number, (g, w) in enumerate(zip(map(wide, got), map(wide, wanted), strict=True)):
        for at in np.argwhere(np.abs(g - w) > SATURATED * (1 + np.abs(w)))[:most]:
            direction = [jnp.zeros_like(value) for value in values]
            direction[number] = direction[number].at[tuple(at)].set(1.0)
            left, right = sorted(one_sided(slope(subject, arguments, direction, dy)))
            slack = 1e-4 * (1 + abs(left) + abs(right))
            if not left - slack <= g[tuple(at)] <= right + slack:
                return False
    return True
