"""What is wrong: the usual mistakes in a backward pass, tried one after the other.

Each hypothesis is a function of one wrong leaf's evidence that returns a sentence, or None if it
does not fit. They are tried from the specific to the vague, and the first that fits is the
diagnosis. All evidence is in float64, so "fits" means to a millionth: no coincidence comes so near.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import numpy as np

from backhand.verify.comparisons import worst_entries

FITS = 1e-6
Says: TypeAlias = str | tuple[str, str] | None  # a sentence; with a kind of its own before it


class Evidence(NamedTuple):
    """One wrong leaf, and what it may have been confused with."""

    label: str
    got: np.ndarray
    expected: np.ndarray
    batch: int | None  # examples, if known
    dy: np.ndarray | None  # if y is one array
    known: dict[str, np.ndarray]  # y, if it is one array, and the arguments' leaves, by name
    other_expected: dict[str, np.ndarray]  # the other leaves' gradients, as they should be
    got_for_another_dy: np.ndarray
    retried: Iterable[tuple[str, np.ndarray]]  # the leaf again, if a residual were what it says


class Diagnosis(NamedTuple):
    """A mistake's kind, in two or three words, and the sentence about the leaf."""

    kind: str
    leaf: str
    text: str


def close(a: np.ndarray, b: np.ndarray, rtol: float = FITS) -> bool:
    """Whether a is b, to a relative error of rtol; nothing is close to zeros but zeros."""
    return a.shape == b.shape and bool(np.linalg.norm(a - b) <= rtol * np.linalg.norm(b))


def not_finite(e: Evidence) -> Says:
    """NaN or infinity where the gradient is a number."""
    bad = ~np.isfinite(e.got)
    if not bad.any():
        return None
    at = ", ".join(map(str, np.argwhere(bad)[0])) if e.got.ndim else ""
    count = f"{bad.sum()} of {bad.size} entries"
    return f"{e.label} is not finite in {count}, [{at}] first, where the true gradient is"


def not_summed(e: Evidence) -> Says:
    """An axis that was broadcast going forward has to be summed coming back."""
    for axis in range(e.got.ndim if e.got.size > e.expected.size else 0):
        total = e.got.sum(axis)
        if total.size == e.expected.size and close(total.reshape(e.expected.shape), e.expected):
            which = "the batch" if axis == 0 and e.got.shape[0] == e.batch else f"axis {axis}"
            return (
                f"{e.label} has shape {e.got.shape} for {e.expected.shape}, and is right once "
                f"summed over {which}: what was broadcast going forward is summed coming back"
            )
    return None


def summed_too_far(e: Evidence) -> Says:
    """Summed over an axis that was not broadcast."""
    for axis, size in enumerate(e.expected.shape):
        total = e.expected.sum(axis, keepdims=True)
        alone = e.got.size == total.size and close(e.got.reshape(total.shape), total)
        spread = close(e.got, np.broadcast_to(total, e.expected.shape))
        if size > 1 and (alone or spread):
            over = f"summed over its axis {axis}"
            return f"{e.label} is the right gradient {over}: one sum too many"
    return None


def transposed(e: Evidence) -> Says:
    """The matrix the other way round."""
    if e.got.ndim >= 2 and close(np.swapaxes(e.got, -1, -2), e.expected):
        return f"{e.label} is transposed"
    return None


def zeroed(e: Evidence) -> Says:
    """Nothing came back at all."""
    if e.expected.any() and np.linalg.norm(e.got) <= 1e-9 * np.linalg.norm(e.expected):
        return f"{e.label} is 0 everywhere: its gradient was never computed, or was thrown away"
    return None


def stale(e: Evidence) -> Says:
    """The same whatever dy is."""
    if not e.got.any() or not np.array_equal(e.got, e.got_for_another_dy):
        return None
    for name, value in e.known.items():
        if close(e.got, value):
            return f"{e.label} is {name} itself, not a gradient"
    return f"{e.label} is the same for every dy: stale, left from somewhere else"


def swapped(e: Evidence) -> Says:
    """Two gradients in each other's place."""
    for name, other in e.other_expected.items():
        if close(e.got, other) and not close(e.got, e.expected):
            return f"{e.label} holds the gradient that belongs to {name}: the two are swapped"
    return None


def scaled(e: Evidence) -> Says:
    """Off by one factor at every entry."""
    if e.got.shape != e.expected.shape or not e.expected.any():
        return None
    factor = float(np.vdot(e.expected, e.got) / np.vdot(e.expected, e.expected))
    if factor == 0 or not close(e.got, factor * e.expected) or close(e.got, e.expected):
        return None
    every = "what jax.vjp gives at every entry"
    if np.isclose(factor, -1):
        return "wrong sign", f"{e.label} has the wrong sign: it is minus {every}"
    says, batch = f"{e.label} is {factor:.6g}× {every}", e.batch or 1
    mean, total = "a sum where the forward takes a mean", "a mean where the forward sums"
    usual = [
        (batch, "sum for mean", f"; {batch} is the batch size: {mean}"),
        (1 / batch, "mean for sum", f", 1/{batch}, and {batch} is the batch size: {total}"),
        (2, "factor 2", ": a derivative taken twice, or a ½ left out"),
        (0.5, "factor ½", ": half of it is missing, or a ½ too many"),
    ]
    shapes = (e.got.shape, *(value.shape for value in e.known.values()))
    for size in sorted({n for shape in shapes for n in shape if n > 2}):
        why = f"; {size} is the size of an axis: a sum for a mean over it, or the reverse"
        usual += [(size, "factor", why), (1 / size, "factor", why)]
    for other, kind, why in usual:
        if np.isclose(factor, other):
            return kind, says + why
    return "factor", f"{says}: a constant factor is wrong"


def no_derivative(e: Evidence) -> Says:
    """dy passed straight through."""
    if e.dy is not None and close(e.got, e.dy):
        return f"{e.label} is dy itself: the function's own derivative is missing"
    return None


def input_for_output(e: Evidence) -> Says:
    """x where the derivative is written in y, or the reverse: with the other it is right."""
    for what, again in e.retried:
        if close(again, e.expected):
            return f"{e.label} would be right if {what}: input and output are confused"
    return None


def wrong_slice(e: Evidence) -> Says:
    """Right but for some rows."""
    if e.got.shape != e.expected.shape:
        return None
    size = np.abs(e.expected)
    off = np.abs(e.got - e.expected) > FITS * (size + 1e-3 * size.max(initial=0))
    for axis in range(e.got.ndim):
        lines = off.any(tuple(i for i in range(e.got.ndim) if i != axis))
        if 0 < lines.sum() <= len(lines) // 2:
            at = np.flatnonzero(lines)
            where = f"{', '.join(map(str, at[:5]))}{', …' * (len(at) > 5)} of axis {axis}"
            if np.take(e.got, at, axis).any():
                return f"{e.label} is wrong at {where} alone: a slice is stale or misplaced"
            says = f"{e.label} is 0 at {where}, right elsewhere: a slice is left out"
            return "zeroed slice", says
    return None


def moved(e: Evidence) -> Says:
    """Every entry right, in another's place."""
    for axis in range(e.got.ndim if e.got.shape == e.expected.shape else 0):
        if any(close(np.roll(e.got, by, axis), e.expected) for by in (1, -1)):
            return f"{e.label} is shifted by one along axis {axis}: an index is off by one"
        if close(np.flip(e.got, axis), e.expected):
            return f"{e.label} is reversed along axis {axis}"
    return None


def missing_row_term(e: Evidence) -> Says:
    """What normalising subtracts: the row's mean, or its sum weighed by y."""
    if e.got.shape != e.expected.shape or e.got.ndim == 0 or e.got.shape[-1] < 2:
        return None
    off = e.got - e.expected
    if close(np.broadcast_to(off.mean(-1, keepdims=True), off.shape), off):
        return (
            f"{e.label} is off by one number along each row of the last axis: the row's mean, "
            f"which normalising subtracts, is missing or wrong"
        )
    for name, weights in e.known.items():
        if weights.shape != off.shape or not weights.any():
            continue
        power = np.maximum((weights**2).sum(-1, keepdims=True), 1e-300)
        if close((off * weights).sum(-1, keepdims=True) / power * weights, off):
            return (
                f"{e.label} is off by a multiple of {name} along each row of the last axis: a sum "
                f"over the row, weighed by {name}, is missing or wrong, as softmax's Σ dy·y"
            )
    return None


def cast_too_early(e: Evidence) -> Says:
    """Right to a few digits, and no further."""
    if e.got.shape != e.expected.shape or not e.expected.any():
        return None
    error = float(np.linalg.norm(e.got - e.expected) / np.linalg.norm(e.expected))
    for dtype, epsilon in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        if epsilon / 100 < error < 8 * epsilon:
            precision = f"{dtype}'s precision: it was cast too early"
            return f"{e.label} is right to {error:.0e} and no nearer, {precision}"
    return None


# A mistake's kind is its function's name, if the function says no other.
HYPOTHESES = (
    not_finite, not_summed, zeroed, scaled, transposed, swapped, stale, no_derivative,
    input_for_output, summed_too_far, moved, wrong_slice, missing_row_term, cast_too_early,
)  # fmt: skip


def diagnose(e: Evidence) -> Diagnosis:
    """The first hypothesis that fits; if none does, the worst entries."""
    for hypothesis in HYPOTHESES:
        says = hypothesis(e)
        if says is not None:
            usual = hypothesis.__name__.replace("_", " ")
            kind, text = says if isinstance(says, tuple) else (usual, says)
            return Diagnosis(kind, e.label, text + ".")
    worst = f"shape {e.got.shape}, expected {e.expected.shape}"
    if e.got.shape == e.expected.shape:
        worst = worst_entries(e.got, e.expected, 3)
    return Diagnosis(
        "unknown", e.label, f"{e.label}: none of the usual mistakes fits. Worst: {worst}."
    )
