"""How far a gradient is from what it should be, and where.

The figure of a leaf is ‖got − expected‖ over its scale, with

    scale = ‖expected leaf‖ + 10⁻² ‖expected gradient‖ + 10⁻³ ‖dy‖

The last two terms keep rounding from looking like an error where a leaf's true gradient is 0 or
nearly: rounding is relative to what was added up, which cancelled. Nothing in it grows with the
number of entries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from backhand.layer import Array, Tree


class Mismatch(NamedTuple):
    """The worst leaf of a comparison, and the worst entry in it."""

    figure: float
    leaf: str = ""
    at: tuple[int, ...] = ()
    got: float = 0.0
    expected: float = 0.0
    form: str = ""  # shown instead of an entry, if shapes differ

    def __str__(self) -> str:
        if self.form or not self.leaf:
            return self.form
        at = f"[{', '.join(map(str, self.at))}]" if self.at else ""
        return f"{self.leaf}{at}: got {self.got:.6g}, expected {self.expected:.6g}"


def norm(tree: Tree) -> float:
    """The Euclidean norm over all leaves."""
    return float(np.sqrt(sum(np.sum(np.square(wide(leaf))) for leaf in jax.tree.leaves(tree))))


def wide(a: Array | np.ndarray) -> np.ndarray:
    """An array in float64, for comparing."""
    return np.asarray(a).astype(np.float64)


def compare(
    labels: Sequence[str], got: Sequence[Array], expected: Sequence[Array], dy: Tree
) -> Mismatch:
    """The worst leaf. Its figure is inf if shapes differ or NaN stands where a number should."""
    return worst(by_leaf(labels, got, expected, dy))


def by_leaf(
    labels: Sequence[str], got: Sequence[Array], expected: Sequence[Array], dy: Tree
) -> list[Mismatch]:
    """Each leaf's worst entry. Where the expected gradient is not finite, nothing is asked."""
    known = [np.isfinite(wide(e)) for e in expected]
    finite = [np.where(k, wide(e), 0.0) for k, e in zip(known, expected, strict=True)]
    floor = 1e-2 * norm(finite) + 1e-3 * norm(dy)
    mismatches = []
    for label, g, e, k in zip(labels, map(wide, got), finite, known, strict=True):
        if g.shape != e.shape:
            form = f"{label} has shape {g.shape}, its argument {e.shape}"
            mismatches.append(Mismatch(np.inf, label, form=form))
            continue
        difference = np.where(k, np.abs(np.where(np.isfinite(g), g, np.inf) - e), 0.0)
        scale = norm(e) + floor
        figure = norm(difference) / scale if scale > 0 else float(difference.any())
        if not e.size:
            mismatches.append(Mismatch(figure, label))
            continue
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), e.shape))
        mismatches.append(Mismatch(figure, label, at, float(g[at]), float(e[at])))
    return mismatches


def worst(mismatches: Sequence[Mismatch]) -> Mismatch:
    """The one with the largest figure."""
    return max(mismatches, key=lambda mismatch: mismatch.figure, default=Mismatch(0.0))


def located(mismatch: Mismatch, where: str) -> Mismatch:
    """The mismatch, saying where it was met."""
    return mismatch._replace(form=f"{where}: {mismatch}") if mismatch.figure > 0 else mismatch


def worst_entries(got: np.ndarray, expected: np.ndarray, most: int = 3) -> str:
    """The entries farthest off, in words."""
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    off = np.nan_to_num(np.abs(got - expected), nan=np.inf)
    entries = [np.unravel_index(int(i), got.shape) for i in np.argsort(-off, axis=None)[:most]]
    return "; ".join(
        f"[{', '.join(str(int(i)) for i in at)}] got {got[at]:.6g}, expected {expected[at]:.6g}"
        for at in entries
    )
