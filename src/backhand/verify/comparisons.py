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

from backhand.layer import HostOrDevice, Tree


class Mismatch(NamedTuple):
    """How far off a comparison is in its worst leaf, and what stands out there."""

    figure: float
    text: str = ""

    def at(self, where: str) -> "Mismatch":
        """The mismatch, saying where it was met."""
        return Mismatch(self.figure, f"{where}: {self.text}")


def norm(tree: Tree) -> float:
    """The Euclidean norm over all leaves."""
    return float(np.sqrt(sum(np.sum(np.square(wide(leaf))) for leaf in jax.tree.leaves(tree))))


def wide(a: HostOrDevice) -> np.ndarray:
    """An array in float64, for comparing."""
    return np.asarray(a).astype(np.float64)


def compare(
    labels: Sequence[str], got: Sequence[HostOrDevice], expected: Sequence[HostOrDevice], dy: Tree
) -> Mismatch:
    """The worst leaf. Its figure is inf if shapes differ or NaN stands where a number should."""
    return worst(by_leaf(labels, got, expected, dy))


def by_leaf(
    labels: Sequence[str], got: Sequence[HostOrDevice], expected: Sequence[HostOrDevice], dy: Tree
) -> list[Mismatch]:
    """Each leaf's worst entry. Where the expected gradient is not finite, nothing is asked."""
    known = [np.isfinite(wide(e)) for e in expected]
    finite = [np.where(k, wide(e), 0.0) for k, e in zip(known, expected, strict=True)]
    floor = 1e-2 * norm(finite) + 1e-3 * norm(dy)
    mismatches = []
    for label, g, e, k in zip(labels, map(wide, got), finite, known, strict=True):
        if g.shape != e.shape:
            says = f"{label} has shape {g.shape}, its argument {e.shape}"
            mismatches.append(Mismatch(np.inf, says))
            continue
        asked = np.where(k, g, 0.0)
        error, scale = norm(difference(asked, e)), norm(e) + floor
        figure = error / scale if scale > 0 else float(error > 0)
        mismatches.append(Mismatch(figure, label + worst_entries(asked, e, 1)))
    return mismatches


def worst(mismatches: Sequence[Mismatch]) -> Mismatch:
    """The one with the largest figure."""
    return max(mismatches, key=lambda mismatch: mismatch.figure, default=Mismatch(0.0))


def difference(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far off each entry is; inf for NaN."""
    off: np.ndarray = np.abs(got - expected)
    return np.where(np.isnan(off), np.inf, off)


def worst_entries(got: np.ndarray, expected: np.ndarray, most: int) -> str:
    """The entries farthest off, in words."""
    farthest = np.argsort(-difference(got, expected), axis=None)[:most]
    entries = [tuple(map(int, np.unravel_index(i, got.shape))) for i in farthest]
    return "; ".join(
        f"{list(at) or ''}: got {got[at]:.6g}, expected {expected[at]:.6g}" for at in entries
    )
