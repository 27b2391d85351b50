"""How far a gradient is from what it should be, and where.

The figure of a leaf is ‖got − expected‖ over its scale, with

    scale = ‖expected leaf‖ + 10⁻² ‖expected gradient‖ + 10⁻³ ‖dy‖

The last two terms keep rounding from looking like an error where a leaf's true gradient is 0 or nearly:
rounding is relative to what was added up, which cancelled. Nothing in it grows with the number of entries.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Mismatch(NamedTuple):
    """The worst leaf of a comparison, and the worst entry in it."""

    figure: float
    leaf: str = ""
    at: tuple[int, ...] = ()
    got: float = 0.0
    expected: float = 0.0
    form: str = ""  # said instead of an entry, where shapes differ

    def __str__(self) -> str:
        if self.form or not self.leaf:
            return self.form
        at = f"[{', '.join(map(str, self.at))}]" if self.at else ""
        return f"{self.leaf}{at}: got {self.got:.6g}, expected {self.expected:.6g}"


def norm(tree: Any) -> float:
    """The Euclidean norm over all leaves."""
    return float(np.sqrt(sum(np.sum(np.square(wide(leaf))) for leaf in jax.tree.leaves(tree))))


def wide(a: Any) -> np.ndarray:
    """An array in float64, for comparing."""
    return np.asarray(a).astype(np.float64)


def compare(labels: Sequence[str], got: Sequence[Any], expected: Sequence[Any], dy: Any) -> Mismatch:
    """The worst leaf. Its figure is inf where shapes differ or NaN stands where a number should."""
    return max(
        by_leaf(labels, got, expected, dy), key=lambda mismatch: mismatch.figure, default=Mismatch(0.0)
    )


def by_leaf(labels: Sequence[str], got: Sequence[Any], expected: Sequence[Any], dy: Any) -> list[Mismatch]:
    """Each leaf's worst entry. Where the expected gradient is infinite or undefined, nothing is asked."""
    known = [np.isfinite(wide(e)) for e in expected]
    expected = [np.where(k, wide(e), 0.0) for k, e in zip(known, expected, strict=True)]
    floor = 1e-2 * norm(expected) + 1e-3 * norm(dy)
    mismatches = []
    for label, g, e, k in zip(labels, map(wide, got), expected, known, strict=True):
        if g.shape != e.shape:
            mismatches.append(
                Mismatch(np.inf, label, form=f"{label} has shape {g.shape}, its argument {e.shape}")
            )
            continue
        difference = np.where(k, np.abs(np.where(np.isfinite(g), g, np.inf) - e), 0.0)
        scale = norm(e) + floor
        figure = norm(difference) / scale if scale > 0 else float(difference.any())
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), e.shape)) if e.size else ()
        worst = (float(g[at]), float(e[at])) if e.size else (0.0, 0.0)
        mismatches.append(Mismatch(figure, label, at, *worst))
    return mismatches


def worst(mismatches: Sequence[Mismatch]) -> Mismatch:
    """The one with the largest figure."""
    return max(mismatches, key=lambda mismatch: mismatch.figure, default=Mismatch(0.0))


def located(mismatch: Mismatch, where: str) -> Mismatch:
    """The mismatch, saying where it was met."""
    return mismatch._replace(form=f"{where}: {mismatch}") if mismatch.figure > 0 else mismatch


def worst_entries(got: Any, expected: Any, most: int = 3) -> str:
    """The entries farthest off, in words."""
    g, e = wide(got), wide(expected)
    if g.shape != e.shape:
        return f"shape {g.shape}, expected {e.shape}"
    order = np.argsort(-np.nan_to_num(np.abs(g - e), nan=np.inf), axis=None)[:most]
    entries = [np.unravel_index(int(i), g.shape) for i in order]
    return "; ".join(
        f"[{', '.join(str(int(i)) for i in at)}] got {g[at]:.6g}, expected {e[at]:.6g}" for at in entries
    )
