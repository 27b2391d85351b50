"""`check_backward`: everything that can be asked of a backward pass, asked."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.random import Generator

from backhand.interop import reads
from backhand.layer import Array, Tree
from backhand.verify.cases import Case, central_difference, normal_like, one_hot_like
from backhand.verify.comparisons import Mismatch, by_leaf, compare, norm, wide, worst
from backhand.verify.diagnosis import Diagnosis, Evidence, diagnose
from backhand.verify.edges import SATURATED, at_edges
from backhand.verify.report import BackwardError, Check, Report
from backhand.verify.subjects import (
    SIZES,
    Subject,
    as_subject,
    cast,
    flatten_with_path,
    is_floating,
)

EXACT = 1e-12  # in float64, against jax.vjp
DIFFERENCES = 1e-6  # against central differences
ULPS = 4  # beyond twice autodiff's own error, in the dtype asked for
SCALES = (1.0, 1e-3, 1e3)
Asked: TypeAlias = tuple[str, float, Callable[[], Mismatch]]  # a check's name, tolerance and doing


def check_backward(
    subject: object,
    x: Tree,
    *more: Tree,
    reference: Callable[..., Tree] | None = None,
    dtypes: Sequence[str | np.dtype] = ("float32",),
    seed: int = 0,
) -> Report:
    """Check a hand-written backward pass against `jax.vjp`, and say what is wrong with it.

    Args:
      subject: a `Layer`, whose params are from its `init`, moved a little off zero; a `Loss`; a
        pair `(forward, backward)` as `jax.custom_vjp` wants them, `forward(*args) -> (y,
        residuals)` and `backward(residuals, dy) -> gradients`; or any function with a `custom_vjp`
        rule, together with `reference`.
      x, more: the arguments, pytrees of arrays: one x for a Layer, prediction and target for a
        Loss. Floating leaves may be `jax.ShapeDtypeStruct`s, which are filled with random numbers.
        Integers and keys get no gradient.
      reference: the plain function that a custom_vjp function (or a pair's forward) should agree
        with.
      dtypes: in which to check precision, beside float64.
      seed: of everything random.

    Returns:
      A `Report`: `.ok`, `.checks`, `.diagnoses`; print it. JAX's settings are left as they were.

    Raises TypeError or ValueError if there is nothing to check: no such subject, or inputs that are
    not finite or do not suit it.
    """
    with jax.enable_x64(True):
        known = as_subject(subject, (x, *more), reference, seed)
        return _examine(known, [jnp.dtype(d) for d in dtypes], np.random.default_rng(seed))


def assert_backward(subject: object, x: Tree, *more: Tree, **settings: Tree) -> None:
    """`check_backward` for tests: raise BackwardError, with the report, unless all is right."""
    report = check_backward(subject, x, *more, **settings)
    if not report.ok:
        raise BackwardError(report)


def _examine(subject: Subject, dtypes: list[np.dtype], rng: Generator) -> Report:
    case = Case(subject, "as given", subject.arguments)
    jax.eval_shape(case.function, case.values)  # raises if the inputs do not suit
    form = _guarded("structure, shapes, dtypes", 0.0, lambda: _form(case, dtypes))
    if np.isinf(form.figure):  # the gradients can't even be told apart
        return Report(subject.name, (form,))

    cases = [case, *(Case(subject, f"batch {n}", subject.resize(n)) for n in subject.sizes)]
    notes: list[str] = []
    asked: list[Asked] = [
        ("gradient, float64, vs jax.vjp", EXACT, lambda: _gradient(cases, rng)),
        *(
            (f"precision, {d}, vs autodiff's", 1.0, partial(_precision, case, d, rng))
            for d in dtypes
        ),
        ("central differences, float64", DIFFERENCES, lambda: _differences(case, rng)),
        *_consistency(case, rng),
        ("edges: ±0, ties, ±1e4, −inf", SATURATED, lambda: at_edges(case, notes, rng)),
    ]
    checks = (form, *(_guarded(*each) for each in asked))
    notes += _unread_residuals(case)
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
    return Check(name, mismatch.figure, tolerance, mismatch.text)


def _form(case: Case, dtypes: list[np.dtype]) -> Mismatch:
    """Structure, shapes and dtypes of the gradients: exactly those of the arguments."""
    subject, problems = case.subject, dict[str, None]()
    for dtype in (jnp.dtype("float64"), *dtypes):
        low = Case(subject, str(dtype), cast(case.arguments, dtype))
        gradients = jax.eval_shape(low.rule, low.values, low.y)
        leaves = low.aligned(gradients)
        for name, argument, gradient in zip(subject.names, low.arguments, gradients, strict=True):
            got, wanted = (str(jax.tree.structure(tree)) for tree in (gradient, argument))
            all_floating = all(map(is_floating, jax.tree.leaves(argument)))
            if name != subject.constant and all_floating and got != wanted:
                problems[f"d{name} is a {got}, {name} a {wanted}"] = None
        for label, leaf, value in zip(case.labels, leaves, low.values, strict=True):
            is_, argument = (f"{a.dtype}{list(a.shape)}" for a in (leaf, value))
            if is_ != argument:
                problems[f"{label} is {is_}, its argument {argument}"] = None
    return Mismatch(float(len(problems)), "; ".join(problems))


def _gradient(cases: list[Case], rng: Generator) -> Mismatch:
    """Every batch size, with random cotangents of several scales and one-hot ones.

    Never all ones alone: softmax and norms then have a zero gradient.
    """
    found = []
    for case in cases:
        cotangents = [normal_like(case.y, rng, scale) for scale in SCALES]
        for dy in (*cotangents, one_hot_like(case.y, rng), one_hot_like(case.y, rng)):
            got, wanted = case.compiled(case.values, dy)
            found.append(compare(case.labels, got, wanted, dy).at(case.name))
    return worst(found)


def _precision(case: Case, dtype: np.dtype, rng: Generator) -> Mismatch:
    """Our error over what is allowed: twice autodiff's and a few ulps.

    Both are errors against float64 at the rounded inputs.
    """
    low = Case(case.subject, str(dtype), cast(case.arguments, dtype))
    dy = normal_like(low.y, rng)
    got, autodiff = low.compiled(low.values, dy)
    _, truth = case.compiled(*cast((low.values, dy), jnp.float64))
    allowed = ULPS * float(jnp.finfo(dtype).eps)
    pairs = zip(*(by_leaf(low.labels, g, truth, dy) for g in (got, autodiff)), strict=True)
    return worst([a._replace(figure=a.figure / (2 * b.figure + allowed)) for a, b in pairs])


def _differences(case: Case, rng: Generator) -> Mismatch:
    """Is the forward's own derivative what JAX says? Slopes along random directions."""
    found, values = [], case.values
    for _ in range(2):
        dy, direction = normal_like(case.y, rng), normal_like(values, rng)
        _, gradient = case.compiled(values, dy)
        wanted = float(sum(np.vdot(a, b) for a, b in zip(gradient, direction, strict=True)))
        got = central_difference(case.slope(values, direction, dy), wanted)
        size = norm(gradient)
        figure = abs(got - wanted) / (abs(wanted) + size) if size else abs(got)
        found.append(Mismatch(figure, f"slope: got {got:.6g}, expected {wanted:.6g}"))
    return worst(found)


def _consistency(case: Case, rng: Generator) -> list[Asked]:
    """Linear in dy; eager, jitted and vmapped alike; the same twice; forward's value apply's."""
    subject, values, labels = case.subject, case.values, case.labels
    u, v = normal_like(case.y, rng), normal_like(case.y, rng)

    def by_hand(values: Sequence[Tree], dy: Tree) -> list[Array]:
        return case.compiled(values, dy)[0]

    def linear() -> Mismatch:
        def mix(a: Array, b: Array) -> np.ndarray:
            return 3 * np.asarray(a) - 0.5 * np.asarray(b)

        mixed = jax.tree.map(mix, u, v)
        apart = list(map(mix, by_hand(values, u), by_hand(values, v)))
        return compare(labels, by_hand(values, mixed), apart, mixed)

    def eager() -> Mismatch:
        return compare(labels, case.by_hand(values, u), by_hand(values, u), u)

    def vmapped() -> Mismatch:
        halves = [0.5 * np.asarray(value) for value in values]
        stacked = jax.tree.map(lambda *both: np.stack(both), (values, u), (halves, v))
        got = [np.asarray(g) for g in jax.jit(jax.vmap(case.by_hand))(*stacked)]
        first = compare(labels, [g[0] for g in got], by_hand(values, u), u)
        return worst([first, compare(labels, [g[1] for g in got], by_hand(halves, v), v)])

    def repeated() -> Mismatch:
        pairs = zip(labels, case.by_hand(values, u), case.by_hand(values, u), strict=True)
        changed = [label for label, a, b in pairs if not np.array_equal(a, b, equal_nan=True)]
        says = f"{', '.join(changed)} changed from one call to the next"
        return Mismatch(float(len(changed)), says)

    def as_applied() -> Mismatch:
        assert subject.apply is not None
        got = jax.tree.leaves(subject.forward(case.arguments)[0])
        wanted = jax.tree.leaves(subject.apply(case.arguments))
        return compare([f"y{i or ''}" for i in range(len(got))], got, wanted, got)

    asked: list[Asked] = [("linear in dy", EXACT, linear), ("eager = jit", EXACT, eager)]
    asked += [("vmap = one by one", EXACT, vmapped), ("the same twice", 0.0, repeated)]
    applied: list[Asked] = [("forward's value = apply's", EXACT, as_applied)]
    return asked + (applied if subject.apply is not None else [])


def _unread_residuals(case: Case) -> list[str]:
    """Residuals that backward never reads."""
    _, residuals = jax.eval_shape(lambda v: case.subject.forward(case.merge(v)), case.values)
    flat, treedef = flatten_with_path(residuals)

    def backward(leaves: list[Array], values: list[Array], dy: Tree) -> list[Array]:
        given = treedef.unflatten(leaves)
        return case.aligned(case.subject.backward(case.merge(values), given, dy))

    read = reads(backward, [leaf for _, leaf in flat], case.values, case.y)
    names = [f"residuals{jax.tree_util.keystr(path)}" for path, _ in flat]
    unread = [name for name, is_read in zip(names, read, strict=False) if not is_read]
    return [f"backward never reads {', '.join(unread)}"] if unread else []


def _diagnoses(cases: list[Case], dtypes: list[np.dtype], rng: Generator) -> list[Diagnosis]:
    """What is wrong with each leaf that is, in the first case that shows it.

    Batches of a prime size come first: they tell most.
    """
    cases = sorted(cases, key=lambda case: case.name != f"batch {SIZES[1]}")
    dtypes = [jnp.dtype("float64"), *dtypes]
    tried = (_diagnoses_of(case, dtype, rng) for dtype in dtypes for case in cases)
    return next(filter(None, tried), [])


def _diagnoses_of(case: Case, dtype: np.dtype, rng: Generator) -> list[Diagnosis]:
    exact = dtype == jnp.float64
    at = case if exact else Case(case.subject, case.name, cast(case.arguments, dtype))
    values, labels = at.values, at.labels
    dy, other_dy = normal_like(at.y, rng), normal_like(at.y, rng)
    try:
        got, again = (list(map(wide, at.compiled(values, d)[0])) for d in (dy, other_dy))
        _, truth = case.compiled(*cast((values, dy), jnp.float64))
    except Exception:  # the checks have said so
        return []
    wanted = list(map(wide, truth))
    tolerance = EXACT if exact else 100 * float(jnp.finfo(dtype).eps)
    mismatches = by_leaf(labels, got, wanted, dy)
    wrong = [i for i, mismatch in enumerate(mismatches) if not mismatch.figure <= tolerance]

    y, residuals = at.subject.forward(at.arguments)
    known = {"y": y} if hasattr(y, "shape") else {}
    known |= {label[1:]: value for label, value in zip(labels, values, strict=True)}
    first = jax.tree.leaves(y)[0]
    leading = [first] if first.ndim else [value for value in values if value.ndim]
    return [
        diagnose(
            Evidence(
                label=labels[i],
                got=got[i],
                expected=wanted[i],
                batch=max((len(a) for a in leading), default=None),
                dy=wide(dy) if hasattr(dy, "shape") else None,
                known={name: wide(value) for name, value in known.items()},
                other_expected={labels[j]: w for j, w in enumerate(wanted) if j != i},
                got_for_another_dy=again[i],
                retried=_retried(at, dy, i, residuals, known),
            )
        )
        for i in wrong
    ]


def _retried(
    case: Case, dy: Tree, i: int, residuals: Tree, known: dict[str, Array]
) -> Iterator[tuple[str, np.ndarray]]:
    """The gradient by leaf i, with y or an argument in place of a residual that is another one."""
    flat, treedef = flatten_with_path(residuals)
    leaves = [leaf for _, leaf in flat]
    for number, leaf in enumerate(leaves):
        alike = [name for name, a in known.items() if a.shape == np.shape(leaf)]
        is_now = next((name for name in alike if np.array_equal(known[name], leaf)), None)
        for name in alike:
            if is_now in (None, name):
                continue
            changed = treedef.unflatten([*leaves[:number], known[name], *leaves[number + 1 :]])
            try:
                again = case.aligned(case.subject.backward(case.arguments, changed, dy))[i]
            except Exception:  # then it was not that
                continue
            yield f"residual {number}, which is {is_now}, were {name}", wide(again)
