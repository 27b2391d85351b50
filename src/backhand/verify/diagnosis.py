"""What is wrong: the usual mistakes in a backward pass, tried one after the other on a gradient that is off.

Each hypothesis is a function of one leaf's evidence that returns a sentence, or None where it does not fit.
They are tried from the specific to the vague, and the first that fits is the diagnosis. All evidence is in
float64, so "fits" means to a millionth, far nearer than a coincidence.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backhand.verify.comparisons import wide, worst_entries

FITS = 1e-6


class Evidence(NamedTuple):
    """One wrong leaf, and what it may have been confused with."""

    label: str
    got: np.ndarray
    expected: np.ndarray
    batch: int | None  # examples, where known
    dy: np.ndarray | None  # where y is one array
    x: dict[str, np.ndarray]  # the arguments' leaves, by name
    y: np.ndarray | None
    other_expected: dict[str, np.ndarray]  # the other leaves' gradients, as they should be
    got_for_another_dy: np.ndarray
    with_residual: Callable[
        [str, int], Any
    ]  # the leaf again, with residual i replaced by y or by an argument
    residuals: dict[int, str]  # which residuals look like y, or like an argument


class Diagnosis(NamedTuple):
    """A mistake's kind, in two or three words, and the sentence about the leaf."""

    kind: str
    leaf: str
    text: str


def close(a: np.ndarray, b: np.ndarray, rtol: float = FITS) -> bool:
    """Whether a is b, to a relative error of rtol; nothing is close to zeros but zeros."""
    return a.shape == b.shape and bool(np.linalg.norm(a - b) <= rtol * np.linalg.norm(b))


def not_finite(e: Evidence) -> str | None:
    """NaN or infinity where the gradient is a number."""
    bad = ~np.isfinite(e.got)
    if not bad.any():
        return None
    at = ", ".join(map(str, np.argwhere(bad)[0])) if e.got.ndim else ""
    return f"{e.label} is not finite in {bad.sum()} of {bad.size} entries, [{at}] first, where the true gradient is"


def not_summed(e: Evidence) -> str | None:
    """An axis that was broadcast going forward has to be summed coming back."""
    for axis in range(e.got.ndim if e.got.size > e.expected.size else 0):
        total = e.got.sum(axis)
        if total.size == e.expected.size and close(total.reshape(e.expected.shape), e.expected):
            which = "the batch" if axis == 0 and e.got.shape[0] == e.batch else f"axis {axis}"
            return (
                f"{e.label} has shape {e.got.shape} for {e.expected.shape}, and is right once summed over {which}: "
                f"what was broadcast going forward is summed coming back"
            )
    return None


def summed_too_far(e: Evidence) -> str | None:
    """Summed over an axis that was not broadcast."""
    for axis, size in enumerate(e.expected.shape):
        total = e.expected.sum(axis, keepdims=True)
        alone = e.got.size == total.size and close(e.got.reshape(total.shape), total)
        spread = close(e.got, np.broadcast_to(total, e.expected.shape))
        if size > 1 and (alone or spread):
            return f"{e.label} is the right gradient summed over its axis {axis}: one sum too many"
    return None


def transposed(e: Evidence) -> str | None:
    """The matrix the other way round."""
    if e.got.ndim >= 2 and close(np.swapaxes(e.got, -1, -2), e.expected):
        return f"{e.label} is transposed"
    return None


def zeroed(e: Evidence) -> str | None:
    """Nothing came back at all."""
    if e.expected.any() and np.linalg.norm(e.got) <= 1e-9 * np.linalg.norm(e.expected):
        return f"{e.label} is 0 everywhere: its gradient was never computed, or was thrown away"
    return None


def stale(e: Evidence) -> str | None:
    """The same whatever dy is."""
    if e.got.any() and np.array_equal(e.got, e.got_for_another_dy):
        for name, value in e.x.items():
            if close(e.got, value):
                return f"{e.label} is {name} itself, not a gradient"
        return f"{e.label} is the same for every dy: stale, left from somewhere else"
    return None


def swapped(e: Evidence) -> str | None:
    """Two gradients in each other's place."""
    for name, other in e.other_expected.items():
        if close(e.got, other) and not close(e.got, e.expected):
            return f"{e.label} holds the gradient that belongs to {name}: the two are swapped"
    return None


def scaled(e: Evidence) -> tuple[str, str] | None:
    """Off by one factor at every entry."""
    if e.got.shape != e.expected.shape or not e.expected.any():
        return None
    factor = float(np.vdot(e.expected, e.got) / np.vdot(e.expected, e.expected))
    if factor == 0 or not close(e.got, factor * e.expected) or close(e.got, e.expected):
        return None
    says = f"{e.label} is {factor:.6g}× what jax.vjp gives at every entry"
    if np.isclose(factor, -1):
        return "wrong sign", f"{e.label} has the wrong sign: it is minus what jax.vjp gives at every entry"
    if e.batch and e.batch > 1 and np.isclose(factor, e.batch):
        return "sum for mean", f"{says}; {e.batch} is the batch size: a sum where the forward takes a mean"
    if e.batch and e.batch > 1 and np.isclose(factor, 1 / e.batch):
        return (
            "mean for sum",
            f"{says}, 1/{e.batch}, and {e.batch} is the batch size: a mean where the forward sums",
        )
    if np.isclose(factor, 2):
        return "factor 2", f"{says}: a derivative taken twice, or a ½ left out"
    if np.isclose(factor, 0.5):
        return "factor ½", f"{says}: half of it is missing, or a ½ too many"
    for size in sorted(
        {n for shape in (e.got.shape, *(v.shape for v in e.x.values())) for n in shape if n > 2}
    ):
        if np.isclose(factor, size) or np.isclose(factor, 1 / size):
            return (
                "factor",
                f"{says}; {size} is the size of an axis: a sum for a mean over it, or the reverse",
            )
    return "factor", f"{says}: a constant factor is wrong"


def no_derivative(e: Evidence) -> str | None:
    """dy passed straight through."""
    if e.dy is not None and close(e.got, e.dy):
        return f"{e.label} is dy itself: the function's own derivative is missing"
    return None


def input_for_output(e: Evidence) -> str | None:
    """x where the derivative is written in y, or the reverse: put the other in, and it is right."""
    for number, looks_like in e.residuals.items():
        for other in ("y", *e.x):
            again = e.with_residual(other, number) if other != looks_like else None
            if again is not None and close(wide(again), e.expected):
                return (
                    f"{e.label} would be right if residual {number}, which is {looks_like}, were {other}: "
                    f"input and output are confused"
                )
    return None


def wrong_slice(e: Evidence) -> tuple[str, str] | None:
    """Right but for some rows."""
    if e.got.shape != e.expected.shape:
        return None
    off = np.abs(e.got - e.expected) > FITS * (np.abs(e.expected) + 1e-3 * np.abs(e.expected).max(initial=0))
    for axis in range(e.got.ndim):
        lines = off.any(tuple(i for i in range(e.got.ndim) if i != axis))
        if 0 < lines.sum() <= len(lines) // 2:
            where = ", ".join(map(str, np.flatnonzero(lines)[:5])) + (", …" if lines.sum() > 5 else "")
            inside = np.take(e.got, np.flatnonzero(lines), axis)
            if not inside.any():
                return (
                    "zeroed slice",
                    f"{e.label} is 0 at {where} of axis {axis}, right elsewhere: a slice is left out",
                )
            return (
                "wrong slice",
                f"{e.label} is wrong at {where} of axis {axis} alone: a slice is stale or misplaced",
            )
    return None


def moved(e: Evidence) -> str | None:
    """Every entry right, in another's place."""
    for axis in range(e.got.ndim if e.got.shape == e.expected.shape else 0):
        for by in (1, -1):
            if close(np.roll(e.got, by, axis), e.expected):
                return f"{e.label} is shifted by one along axis {axis}: an index is off by one"
        if close(np.flip(e.got, axis), e.expected):
            return f"{e.label} is reversed along axis {axis}"
    return None


def missing_row_term(e: Evidence) -> str | None:
    """What normalising subtracts: the row's mean, or its sum weighed by y."""
    if e.got.shape != e.expected.shape or e.got.ndim == 0 or e.got.shape[-1] < 2:
        return None
    off = e.got - e.expected
    if close(np.broadcast_to(off.mean(-1, keepdims=True), off.shape), off):
        return (
            f"{e.label} is off by one number along each row of the last axis: the row's mean, which normalising "
            f"subtracts, is missing or wrong"
        )
    for name, weights in {"y": e.y, **e.x}.items():
        if weights is None or weights.shape != off.shape or not weights.any():
            continue
        along = (off * weights).sum(-1, keepdims=True) / np.maximum(
            (weights**2).sum(-1, keepdims=True), 1e-300
        )
        if close(along * weights, off):
            return (
                f"{e.label} is off by a multiple of {name} along each row of the last axis: a sum over the row, "
                f"weighed by {name}, is missing or wrong, as softmax's Σ dy·y"
            )
    return None


def cast_too_early(e: Evidence) -> str | None:
    """Right to a few digits, and no further."""
    if e.got.shape != e.expected.shape or not e.expected.any():
        return None
    error = float(np.linalg.norm(e.got - e.expected) / np.linalg.norm(e.expected))
    for dtype, epsilon in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        if epsilon / 100 < error < 8 * epsilon:
            return (
                f"{e.label} is right to {error:.0e} and no nearer, {dtype}'s precision: it was cast too early"
            )
    return None


HYPOTHESES: tuple[tuple[str, Callable[[Evidence], Any]], ...] = (
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
    """The first hypothesis that fits; where none does, the worst entries."""
    for kind, hypothesis in HYPOTHESES:
        says = hypothesis(evidence)
        if says is not None:
            kind, text = says if isinstance(says, tuple) else (kind, says)
            return Diagnosis(kind, evidence.label, text + ".")
    worst = worst_entries(evidence.got, evidence.expected)
    text = f"{evidence.label}: none of the usual mistakes fits. Worst: {worst}."
    return Diagnosis("unknown", evidence.label, text)
