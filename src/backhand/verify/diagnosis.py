"""What is wrong: the usual mistakes in a backward pass, tried one after the other.

Each hypothesis is a function of one wrong leaf's evidence that says what is wrong, or None if it
does not fit. They are tried from the specific to the vague, and the first that fits is the
diagnosis. All evidence is in float64, so "fits" means to a millionth: no coincidence comes so near.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from backhand.verify.comparisons import worst_entries

FITS = 1e-6
Says: TypeAlias = tuple[str, str] | None  # the mistake's kind, and what to say of the leaf


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
    where = f"{bad.sum()} of {bad.size} entries, [{at}] first"
    return "not finite", f"is not finite in {where}, where the true gradient is"


def zeroed(e: Evidence) -> Says:
    """Nothing came back at all."""
    if e.expected.any() and np.linalg.norm(e.got) <= 1e-9 * np.linalg.norm(e.expected):
        return "zeroed", "is 0 everywhere: its gradient was never computed, or was thrown away"
    return None


def scaled(e: Evidence) -> Says:
    """Off by one factor at every entry."""
    if not e.expected.any():
        return None
    factor = float(np.vdot(e.expected, e.got) / np.vdot(e.expected, e.expected))
    if factor == 0 or not close(e.got, factor * e.expected) or close(e.got, e.expected):
        return None
    every = "what jax.vjp gives at every entry"
    if np.isclose(factor, -1):
        return "wrong sign", f"has the wrong sign: it is minus {every}"
    says, batch = f"is {factor:.6g}× {every}", e.batch or 1
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


def look_alikes(e: Evidence) -> Iterator[tuple[str, np.ndarray, str]]:
    """What a wrong gradient may be instead: the mistake's kind, the array, what to say of it."""
    expected = e.expected
    for axis in range(e.got.ndim if e.got.size > expected.size else 0):
        total = e.got.sum(axis)
        if total.size == expected.size and close(total.reshape(expected.shape), expected):
            which = "the batch" if axis == 0 and len(e.got) == e.batch else f"axis {axis}"
            why = "what was broadcast going forward is summed coming back"
            shapes = f"has shape {e.got.shape} for {expected.shape}"
            yield "not summed", e.got, f"{shapes}, and is right once summed over {which}: {why}"
    if expected.ndim >= 2:
        yield "transposed", np.swapaxes(expected, -1, -2), "is transposed"
    for name, other in e.other_expected.items():
        yield "swapped", other, f"holds the gradient that belongs to {name}: the two are swapped"
    if np.array_equal(e.got, e.got_for_another_dy):
        for name, value in e.known.items():
            yield "stale", value, f"is {name} itself, not a gradient"
        yield "stale", e.got, "is the same for every dy: stale, left from somewhere else"
    if e.dy is not None:
        yield "no derivative", e.dy, "is dy itself: the function's own derivative is missing"
    for what, again in e.retried:
        if close(again, expected):
            why = "input and output are confused"
            yield "input for output", e.got, f"would be right if {what}: {why}"
    for axis in range(expected.ndim):
        total = expected.sum(axis, keepdims=True)
        for alike in (total, total.squeeze(axis), np.broadcast_to(total, expected.shape)):
            says = f"is the right gradient summed over its axis {axis}: one sum too many"
            yield "summed too far", alike, says
        for by in (1, -1):
            says = f"is shifted by one along axis {axis}: an index is off by one"
            yield "moved", np.roll(expected, by, axis), says
        yield "moved", np.flip(expected, axis), f"is reversed along axis {axis}"


def look_alike(e: Evidence) -> Says:
    """The right gradient in another form or place, or something else in its place."""
    for kind, array, says in look_alikes(e):
        if close(e.got, array) and not close(array, e.expected):
            return kind, says
    return None


def wrong_slice(e: Evidence) -> Says:
    """Right but for some rows."""
    size = np.abs(e.expected)
    off = np.abs(e.got - e.expected) > FITS * (size + 1e-3 * size.max(initial=0))
    for axis in range(e.got.ndim):
        lines = off.any(tuple(i for i in range(e.got.ndim) if i != axis))
        if 0 < lines.sum() <= len(lines) // 2:
            at = np.flatnonzero(lines)
            where = f"{', '.join(map(str, at[:5]))}{', …' * (len(at) > 5)} of axis {axis}"
            if np.take(e.got, at, axis).any():
                return "wrong slice", f"is wrong at {where} alone: a slice is stale or misplaced"
            return "zeroed slice", f"is 0 at {where}, right elsewhere: a slice is left out"
    return None


def missing_row_term(e: Evidence) -> Says:
    """What normalising subtracts: the row's mean, or its sum weighed by y."""
    if e.got.ndim == 0 or e.got.shape[-1] < 2:
        return None
    off, row = e.got - e.expected, "along each row of the last axis"
    if close(np.broadcast_to(off.mean(-1, keepdims=True), off.shape), off):
        why = "the row's mean, which normalising subtracts, is missing or wrong"
        return "missing row term", f"is off by one number {row}: {why}"
    for name, weights in e.known.items():
        if weights.shape == off.shape and weights.any():
            power = np.maximum((weights**2).sum(-1, keepdims=True), 1e-300)
            if close((off * weights).sum(-1, keepdims=True) / power * weights, off):
                why = f"a sum over the row, weighed by {name}, is missing or wrong"
                as_in = f"off by a multiple of {name} {row}: {why}, as softmax's Σ dy·y"
                return "missing row term", f"is {as_in}"
    return None


def cast_too_early(e: Evidence) -> Says:
    """Right to a few digits, and no further."""
    if not e.expected.any():
        return None
    error = float(np.linalg.norm(e.got - e.expected) / np.linalg.norm(e.expected))
    for dtype, epsilon in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        if epsilon / 100 < error < 8 * epsilon:
            precision = f"{dtype}'s precision: it was cast too early"
            return "cast too early", f"is right to {error:.0e} and no nearer, {precision}"
    return None


# From the specific to the vague; the second for what has the right shape.
OF_ANY_SHAPE = (not_finite, zeroed, look_alike)
OF_ONE_SHAPE = (
    not_finite, zeroed, scaled, look_alike, wrong_slice, missing_row_term, cast_too_early,
)  # fmt: skip


def diagnose(e: Evidence) -> Diagnosis:
    """The first hypothesis that fits; if none does, the worst entries."""
    one_shape = e.got.shape == e.expected.shape
    for hypothesis in OF_ONE_SHAPE if one_shape else OF_ANY_SHAPE:
        found = hypothesis(e)
        if found is not None:
            kind, says = found
            return Diagnosis(kind, e.label, f"{e.label} {says}.")
    shapes = f"shape {e.got.shape}, expected {e.expected.shape}"
    worst = worst_entries(e.got, e.expected, 3) if one_shape else shapes
    text = f"{e.label}: none of the usual mistakes fits. Worst: {worst}."
    return Diagnosis("unknown", e.label, text)
