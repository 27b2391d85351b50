"""`check_backward`: everything that can be asked of a backward pass, asked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.random import Generator

from backhand.interop import reads
from backhand.layer import Array, Params, Tree
from backhand.verify.cases import Case, aligned
from backhand.verify.comparisons import Mismatch, by_leaf, compare, located, norm, wide, worst
from backhand.verify.diagnosis import Diagnosis, Evidence, diagnose
from backhand.verify.edges import SATURATED, at_edges
from backhand.verify.oracles import central_difference, normal_like, one_hot_like
from backhand.verify.report import BackwardError, Check, Report
from backhand.verify.subjects import (
    Subject,
    as_subject,
    cast,
    flatten,
    flatten_with_path,
    is_floating,
    placed,
)

EXACT = 1e-12  # in float64, against jax.vjp
DIFFERENCES = 1e-6  # against central differences
ULPS = 4  # beyond twice autodiff's own error, in the dtype asked for
SIZES = (1, 7, 8)  # one example; a prime, which is no other axis's size; a power of two
SCALES = (1.0, 1e-3, 1e3)
Asked: TypeAlias = tuple[str, float, Callable[[], Mismatch]]  # a check's name, tolerance and doing


def check_backward(
    subject: object,
    x: Tree,
    *more: Tree,
    reference: Callable[..., Tree] | None = None,
    params: Params = None,
    dtypes: Sequence[str | np.dtype] = ("float32",),
    seed: int = 0,
) -> Report:
    """Check a hand-written backward pass against `jax.vjp`, and say what is wrong with it.

    Args:
      subject: a `Layer`; a `Loss`; a pair `(forward, backward)` as `jax.custom_vjp` wants them,
        `forward(*args) -> (y, residuals)` and `backward(residuals, dy) -> gradients`; or any
        function with a `custom_vjp` rule, together with `reference`.
      x, more: the arguments, pytrees of arrays: one x for a Layer, prediction and target for a
        Loss. Floating leaves may be `jax.ShapeDtypeStruct`s, which are filled with random numbers.
        Integers and keys get no gradient.
      reference: the plain function that a custom_vjp function (or a pair's forward) should agree
        with.
      params: a Layer's params; otherwise from its `init`, moved a little off zero.
      dtypes: in which to check precision, beside float64.
      seed: of everything random.

    Returns:
      A `Report`: `.ok`, `.checks`, `.diagnoses`; print it. JAX's settings are left as they were.

    Raises TypeError or ValueError if there is nothing to check: no such subject, or inputs that are
    not finite or do not suit it.
    """
    with jax.enable_x64(True):
        known = as_subject(subject, (x, *more), reference, params, seed)
        return _examine(known, [jnp.dtype(d) for d in dtypes], np.random.default_rng(seed))


def assert_backward(subject: object, x: Tree, *more: Tree, **settings: Tree) -> None:
    """`check_backward` for tests: raise BackwardError, with the report, unless all is right."""
    report = check_backward(subject, x, *more, **settings)
    if not report.ok:
        raise BackwardError(report)


def _examine(subject: Subject, dtypes: list[np.dtype], rng: Generator) -> Report:
    case = Case(subject, "as given", subject.arguments)
    jax.eval_shape(case.function, case.leaves.values)  # raises if the inputs do not suit
    form = _form(case, dtypes, rng)
    if np.isinf(form.figure):  # the gradients can't even be told apart
        return Report(subject.name, (form,))

    cases = [case]
    if subject.resize is not None:
        sizes = (*SIZES, 0) if subject.empty else SIZES
        cases += [Case(subject, f"batch {n}", subject.resize(n)) for n in sizes]
    notes: list[str] = []
    asked: list[Asked] = [("gradient, float64, vs jax.vjp", EXACT, lambda: _gradient(cases, rng))]
    for dtype in dtypes:
        precision = partial(_precision, case, dtype, rng)
        asked.append((f"precision, {dtype}, vs autodiff's", 1.0, precision))
    asked += [
        ("central differences, float64", DIFFERENCES, lambda: _differences(case, rng)),
        *_consistency(case, rng),
        ("edges: ±0, ties, ±1e4, −inf", SATURATED, lambda: at_edges(case, notes, rng)),
    ]
    checks = (form, *(_guarded(*each) for each in asked))
    notes += _unread_residuals(case, rng)
    right = all(check.ok for check in checks)
    diagnoses = () if right else tuple(_diagnoses(cases, dtypes, rng))
    return Report(subject.name, checks, diagnoses, tuple(notes))


def _guarded(name: str, tolerance: float, check: Callable[[], Mismatch]) -> Check:
    """A check whose failure to run is a failure."""
    try:
        mismatch = check()
    except Exception as error:  # whatever a user's rule may raise belongs in the report
        says = str(error).splitlines()[0] if str(error) else ""
        return Check(name, np.inf, tolerance, f"{type(error).__name__}: {says}")
    return Check(name, mismatch.figure, tolerance, str(mismatch))


def _form(case: Case, dtypes: list[np.dtype], rng: Generator) -> Check:
    """Structure, shapes and dtypes of the gradients: exactly those of the arguments."""
    title, subject, problems = "structure, shapes, dtypes", case.subject, dict[str, None]()
    for dtype in (jnp.dtype("float64"), *dtypes):
        low = Case(subject, str(dtype), cast(subject.arguments, dtype))
        merge = low.leaves.merge
        try:
            gradients = jax.eval_shape(
                lambda values, dy: subject.rule(merge(values), dy),  # noqa: B023
                low.leaves.values,
                normal_like(low.y, rng),
            )
            leaves = aligned(subject, low.arguments, gradients)
        except Exception as error:  # as in _guarded
            return Check(title, np.inf, 0.0, f"{type(error).__name__}: {error}")
        for name, argument, gradient, differentiable in zip(
            subject.names, low.arguments, gradients, subject.differentiable, strict=True
        ):
            got, wanted = (str(jax.tree.structure(tree)) for tree in (gradient, argument))
            all_floating = all(is_floating(leaf) for leaf in jax.tree.leaves(argument))
            if differentiable and all_floating and got != wanted:
                problems[f"d{name} is a {got}, {name} a {wanted}"] = None
        for label, leaf, value in zip(case.labels, leaves, low.leaves.values, strict=True):
            if (leaf.shape, leaf.dtype) != (value.shape, value.dtype):
                is_, argument = (f"{a.dtype}{list(a.shape)}" for a in (leaf, value))
                problems[f"{label} is {is_}, its argument {argument}"] = None
    return Check(title, float(len(problems)), 0.0, "; ".join(problems))


def _gradient(cases: list[Case], rng: Generator) -> Mismatch:
    """Every batch size, with random cotangents of several scales and one-hot ones.

    Never all ones alone: softmax and norms then have a zero gradient.
    """
    found = []
    for case in cases:
        cotangents = [normal_like(case.y, rng, scale) for scale in SCALES]
        for dy in (*cotangents, one_hot_like(case.y, rng), one_hot_like(case.y, rng)):
            got, wanted = case.compiled(case.leaves.values, dy)
            found.append(located(compare(case.labels, got, wanted, dy), case.name))
    return worst(found)


def _precision(case: Case, dtype: np.dtype, rng: Generator) -> Mismatch:
    """Our error over what is allowed: twice autodiff's and a few ulps.

    Both are errors against float64 at the rounded inputs.
    """
    low = Case(case.subject, str(dtype), cast(case.arguments, dtype))
    dy = normal_like(low.y, rng)
    got, autodiff = low.compiled(low.leaves.values, dy)
    _, truth = case.compiled(*cast((low.leaves.values, dy), jnp.float64))
    allowed = ULPS * float(jnp.finfo(dtype).eps)
    pairs = zip(*(by_leaf(low.labels, g, truth, dy) for g in (got, autodiff)), strict=True)
    return worst([a._replace(figure=a.figure / (2 * b.figure + allowed)) for a, b in pairs])


def _differences(case: Case, rng: Generator) -> Mismatch:
    """Is the forward's own derivative what JAX says? Slopes along random directions."""
    found, values = [], case.leaves.values
    for _ in range(2):
        dy, direction = normal_like(case.y, rng), normal_like(values, rng)
        _, gradient = case.compiled(values, dy)
        wanted = float(sum(np.vdot(a, b) for a, b in zip(gradient, direction, strict=True)))
        got = central_difference(case.slope(values, direction, dy), wanted)
        size = norm(gradient)
        figure = abs(got - wanted) / (abs(wanted) + size) if size else abs(got)
        found.append(Mismatch(figure, "slope", (), got, wanted))
    return worst(found)


def _consistency(case: Case, rng: Generator) -> list[Asked]:
    """Linear in dy; eager, jitted and vmapped alike; the same twice; forward's value apply's."""
    subject, values, labels = case.subject, case.leaves.values, case.labels
    u, v = normal_like(case.y, rng), normal_like(case.y, rng)

    def by_hand(values: list[Array], dy: Tree) -> list[Array]:
        return case.compiled(values, dy)[0]

    def linear() -> Mismatch:
        def mix(a: Array, b: Array) -> Array:
            return placed(3 * np.asarray(a) - 0.5 * np.asarray(b), a.dtype)

        mixed = jax.tree.map(mix, u, v)
        apart = list(map(mix, by_hand(values, u), by_hand(values, v)))
        return compare(labels, by_hand(values, mixed), apart, mixed)

    def eager() -> Mismatch:
        return compare(labels, case.by_hand(values, u), by_hand(values, u), u)

    def vmapped() -> Mismatch:
        halves = [placed(0.5 * np.asarray(value), value.dtype) for value in values]
        stacked = jax.tree.map(lambda *both: np.stack(both), (values, u), (halves, v))
        got = [np.asarray(g) for g in jax.jit(jax.vmap(case.by_hand))(*stacked)]
        parts = enumerate([(values, u), (halves, v)])
        return worst([compare(labels, [g[i] for g in got], by_hand(*at), at[1]) for i, at in parts])

    def repeated() -> Mismatch:
        pairs = zip(labels, case.by_hand(values, u), case.by_hand(values, u), strict=True)
        changed = [label for label, a, b in pairs if not np.array_equal(a, b, equal_nan=True)]
        says = f"{', '.join(changed)} changed from one call to the next"
        return Mismatch(float(len(changed)), form=says)

    def as_applied() -> Mismatch:
        assert subject.apply is not None
        arguments = case.leaves.merge(values)
        got = jax.tree.leaves(subject.forward(arguments)[0])
        wanted = jax.tree.leaves(subject.apply(arguments))
        return compare([f"y{i or ''}" for i in range(len(got))], got, wanted, got)

    asked: list[Asked] = [("linear in dy", EXACT, linear), ("eager = jit", EXACT, eager)]
    asked += [("vmap = one by one", EXACT, vmapped), ("the same twice", 0.0, repeated)]
    applied: list[Asked] = [("forward's value = apply's", EXACT, as_applied)]
    return asked + (applied if subject.apply is not None else [])


def _unread_residuals(case: Case, rng: Generator) -> list[str]:
    """Residuals that backward never reads."""
    subject, merge = case.subject, case.leaves.merge
    if not subject.has_residuals:
        return []
    values, dy = case.leaves.values, normal_like(case.y, rng)
    residuals = jax.eval_shape(lambda v: subject.forward(merge(v))[1], values)
    flat, treedef = flatten_with_path(residuals)

    def backward(leaves: list[Array], values: list[Array], dy: Tree) -> list[Array]:
        arguments = merge(values)
        gradients = subject.backward(arguments, treedef.unflatten(leaves), dy)
        return aligned(subject, arguments, gradients)

    read = reads(backward, [leaf for _, leaf in flat], values, dy)
    names = [f"residuals{jax.tree_util.keystr(path)}" for path, _ in flat]
    unread = [name for name, is_read in zip(names, read, strict=False) if not is_read]
    return [f"backward never reads {', '.join(unread)}"] if unread else []


def _diagnoses(cases: list[Case], dtypes: list[np.dtype], rng: Generator) -> list[Diagnosis]:
    """What is wrong with each leaf that is, in the first case that shows it.

    Batches of a prime size come first: they tell most.
    """
    cases = sorted(cases, key=lambda case: case.name != f"batch {SIZES[1]}")
    for dtype in (jnp.dtype("float64"), *dtypes):
        for case in cases:
            found = _diagnoses_of(case, dtype, rng)
            if found:
                return found
    return []


def _diagnoses_of(case: Case, dtype: np.dtype, rng: Generator) -> list[Diagnosis]:
    exact = dtype == jnp.float64
    at = case if exact else Case(case.subject, case.name, cast(case.arguments, dtype))
    values = at.leaves.values
    dy, other_dy = normal_like(at.y, rng), normal_like(at.y, rng)
    try:
        got, again = (at.compiled(values, d)[0] for d in (dy, other_dy))
        _, wanted = case.compiled(*cast((values, dy), jnp.float64))
    except Exception:  # the checks have said so
        return []
    tolerance = EXACT if exact else 100 * float(jnp.finfo(dtype).eps)
    off = enumerate(by_leaf(at.labels, got, wanted, dy))
    wrong = [i for i, mismatch in off if not mismatch.figure <= tolerance]
    return [diagnose(_evidence(at, dy, i, got, wanted, again)) for i in wrong]


def _evidence(
    case: Case, dy: Tree, i: int, got: list[Array], wanted: list[Array], again: list[Array]
) -> Evidence:
    subject, labels, values = case.subject, case.labels, case.leaves.values
    arguments = case.leaves.merge(values)
    y, residuals = subject.forward(arguments)
    flat, treedef = flatten(residuals)
    y_array = y if hasattr(y, "shape") else None
    x = dict(zip((label[1:] for label in labels), values, strict=True))
    known = {"y": y_array, **x}

    def looks_like(leaf: Array) -> str | None:
        for name, value in known.items():
            if value is not None and leaf.shape == value.shape and np.array_equal(leaf, value):
                return name
        return None

    def with_residual(other: str, number: int) -> Array | None:
        replacement = known[other]
        if replacement is None or replacement.shape != flat[number].shape:
            return None
        changed = treedef.unflatten([*flat[:number], replacement, *flat[number + 1 :]])
        try:
            return aligned(subject, arguments, subject.backward(arguments, changed, dy))[i]
        except Exception:  # then it was not that
            return None

    seen = {n: looks_like(leaf) for n, leaf in enumerate(flat) if hasattr(leaf, "shape")}
    if y_array is not None and y_array.ndim:
        batch = y_array.shape[0]
    elif case.name.startswith("batch "):
        batch = int(case.name.removeprefix("batch "))
    else:
        sizes = [v.shape[0] for v in values if getattr(v, "ndim", 0)]
        batch = max(sizes, default=None) if subject.resize is None else None
    others = zip(labels, wanted, strict=True)
    return Evidence(
        label=labels[i],
        got=wide(got[i]),
        expected=wide(wanted[i]),
        batch=batch,
        dy=wide(dy) if hasattr(dy, "shape") else None,
        x={name: wide(value) for name, value in x.items()},
        y=None if y_array is None else wide(y_array),
        other_expected={label: wide(w) for label, w in others if label != labels[i]},
        got_for_another_dy=wide(again[i]),
        with_residual=with_residual,
        residuals={number: name for number, name in seen.items() if name is not None},
    )
