"""What is wrong: the usual mistakes in a backward pass, tried one after the other.

Each hypothesis is a function of one wrong leaf's evidence that returns a sentence, or None if it
does not fit. They are tried from the specific to the vague, and the first that fits is the
diagnosis. All evidence is in float64, so "fits" means to a millionth: no coincidence comes so near.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from backhand.layer import Array
from backhand.verify.comparisons import wide, worst_entries

FITS = 1e-6
Says: TypeAlias = str | tuple[str, str] | None  # a sentence; with a kind of its own before it


class Evidence(NamedTuple):
    """One wrong leaf, and what it may have been confused with."""

    label: str
    got: np.ndarray
    expected: np.ndarray
    batch: int | None  # examples, if known
    dy: np.ndarray | None  # if y is one array
    x: dict[str, np.ndarray]  # the arguments' leaves, by name
    y: np.ndarray | None
    other_expected: dict[str, np.ndarray]  # the other leaves' gradients, as they should be
    got_for_another_dy: np.ndarray
    # The leaf again, with residual i replaced by y or by an argument.
    with_residual: Callable[[str, int], Array | None]
    residuals: dict[int, str]  # which residuals look like y, or like an argument


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
    for name, value in e.x.items():
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
    says, batch = f"{e.label} is {factor:.6g}× {every}", e.batch or 1
    if np.isclose(factor, -1):
        return "wrong sign", f"{e.label} has the wrong sign: it is minus {every}"
    if batch > 1 and np.isclose(factor, batch):
        mean = "a sum where the forward takes a mean"
        return "sum for mean", f"{says}; {batch} is the batch size: {mean}"
    if batch > 1 and np.isclose(factor, 1 / batch):
        total = "a mean where the forward sums"
        return "mean for sum", f"{says}, 1/{batch}, and {batch} is the batch size: {total}"
    if np.isclose(factor, 2):
        return "factor 2", f"{says}: a derivative taken twice, or a ½ left out"
    if np.isclose(factor, 0.5):
        return "factor ½", f"{says}: half of it is missing, or a ½ too many"
    shapes = (e.got.shape, *(value.shape for value in e.x.values()))
    for size in sorted({n for shape in shapes for n in shape if n > 2}):
        if np.isclose(factor, size) or np.isclose(factor, 1 / size):
            reverse = "a sum for a mean over it, or the reverse"
            return "factor", f"{says}; {size} is the size of an axis: {reverse}"
    return "factor", f"{says}: a constant factor is wrong"


def no_derivative(e: Evidence) -> Says:
    """dy passed straight through."""
    if e.dy is not None and close(e.got, e.dy):
        return f"{e.label} is dy itself: the function's own derivative is missing"
    return None


def input_for_output(e: Evidence) -> Says:
    """x where the derivative is written in y, or the reverse: with the other it is right."""
    for number, looks_like in e.residuals.items():
        for other in ("y", *e.x):
            again = e.with_residual(other, number) if other != looks_like else None
            if again is not None and close(wide(again), e.expected):
                right = f"residual {number}, which is {looks_like}, were {other}"
                return f"{e.label} would be right if {right}: input and output are confused"
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
            if not np.take(e.got, at, axis).any():
                left_out = f"{e.label} is 0 at {where}, right elsewhere: a slice is left out"
                return "zeroed slice", left_out
            return (
                "wrong slice",
                f"{e.label} is wrong at {where} alone: a slice is stale or misplaced",
            )
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
    for name, weights in {"y": e.y, **e.x}.items():
        if weights is None or weights.shape != off.shape or not weights.any():
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


HYPOTHESES: tuple[tuple[str, Callable[[Evidence], Says]], ...] = (
    ("not finite", not_finite),
    ("not summed", not_summed),
    ("zeroed", zeroed),
    ("scaled", scaled),  # names its own kind
    ("transposed", transposed),
    ("swapped", swapped),
    ("stale", stale),
    ("no derivative", no_derivative),
    ("input for output", input_for_output),
    ("summed too far", summed_too_far),
    ("moved", moved),
    ("wrong slice", wrong_slice),  # names its own kind
    ("missing row term", missing_row_term),
    ("cast too early", cast_too_early),
)


def diagnose(evidence: Evidence) -> Diagnosis:
    """The first hypothesis that fits; if none does, the worst entries."""
    for kind, hypothesis in HYPOTHESES:
        says = hypothesis(evidence)
        if says is not None:
            kind, text = says if isinstance(says, tuple) else (kind, says)
            return Diagnosis(kind, evidence.label, text + ".")
    worst = worst_entries(evidence.got, evidence.expected)
    text = f"{evidence.label}: none of the usual mistakes fits. Worst: {worst}."
    return Diagnosis("unknown", evidence.label, text)
