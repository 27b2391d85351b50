"""`check_backward`: everything that can be asked of a backward pass, asked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand.verify.cases import Case, aligned
from backhand.verify.comparisons import Mismatch, by_leaf, compare, located, norm, wide, worst
from backhand.verify.diagnosis import Diagnosis, Evidence, diagnose
from backhand.verify.edges import SATURATED, at_edges
from backhand.verify.oracles import central_difference, dot, normal_like, one_hot_like, slope
from backhand.verify.report import BackwardError, Check, Report
from backhand.verify.subjects import (
    Leaves,
    Subject,
    as_subject,
    cast,
    flatten,
    flatten_with_path,
    is_floating,
)

EXACT = 1e-12  # in float64, against jax.vjp
DIFFERENCES = 1e-6  # against central differences
ULPS = 4  # beyond twice autodiff's own error, in the dtype asked for
SIZES = (1, 7, 8)  # one example; a prime, which is no other axis's size; a power of two
SCALES = (1.0, 1e-3, 1e3)


def check_backward(
    subject: Any,
    x: Any,
    *more: Any,
    reference: Callable[..., Any] | None = None,
    params: Any = None,
    dtypes: Sequence[Any] = ("float32",),
    seed: int = 0,
) -> Report:
    """Check a hand-written backward pass against `jax.vjp` of the plain forward, and say what is wrong with it.

    Args:
      subject: a `Layer`; a `Loss`; a pair `(forward, backward)` as `jax.custom_vjp` wants them,
        `forward(*args) -> (y, residuals)` and `backward(residuals, dy) -> gradients`; or any function with a
        `custom_vjp` rule, together with `reference`.
      x, more: the arguments, pytrees of arrays: one x for a Layer, prediction and target for a Loss. Floating
        leaves may be `jax.ShapeDtypeStruct`s, which are filled with random numbers. Integers and keys
        get no gradient.
      reference: the plain function that a custom_vjp function (or a pair's forward) should agree with.
      params: a Layer's params; otherwise from its `init`, moved a little off zero.
      dtypes: in which to check precision, beside float64.
      seed: of everything random.

    Returns:
      A `Report`: `.ok`, `.checks`, `.diagnoses`; print it. JAX's settings are left as they were.

    Raises TypeError or ValueError where there is nothing to check: no such subject, inputs that are not finite
    or do not suit it.
    """
    with jax.enable_x64(True):
        subject = as_subject(subject, (x, *more), reference, params, seed)
        return _examine(subject, [jnp.dtype(dtype) for dtype in dtypes], np.random.default_rng(seed))


def assert_backward(subject: Any, x: Any, *more: Any, **settings: Any) -> None:
    """`check_backward` for tests: raise BackwardError, with the report, unless all is right."""
    report = check_backward(subject, x, *more, **settings)
    if not report.ok:
        raise BackwardError(report)


def _examine(subject: Subject, dtypes: list[Any], rng: np.random.Generator) -> Report:
    case = Case.of(subject, "as given", subject.arguments)
    notes: list[str] = []
    form = _form(subject, case, dtypes, rng)
    checks = [form]
    diagnoses: list[Diagnosis] = []
    if np.isinf(form.figure):  # the gradients can't even be told apart
        return Report(subject.name, (form,))

    cases = [case]
    if subject.resize is not None:
        cases += [Case.of(subject, f"batch {n}", subject.resize(n)) for n in SIZES]
        if subject.empty:
            cases.append(Case.of(subject, "batch 0", subject.resize(0)))
    compiled = case.compiled()
    checks.append(_guarded("gradient, float64, vs jax.vjp", EXACT, lambda: _gradient(cases, compiled, rng)))
    for dtype in dtypes:
        precision = partial(_precision, subject, dtype, rng)
        checks.append(_guarded(f"precision, {dtype}, vs autodiff's", 1.0, precision))
    checks.append(
        _guarded(
            "central differences, float64", DIFFERENCES, lambda: _differences(subject, case, compiled, rng)
        )
    )
    checks += _consistency(subject, case, compiled, rng)
    checks.append(
        _guarded(
            "edges: ±0, ties, ±1e4, −inf", SATURATED, lambda: at_edges(subject, case, compiled, notes, rng)
        )
    )
    notes += _unread_residuals(subject, case, rng)
    if not all(check.ok for check in checks):
        diagnoses = _diagnoses(subject, cases, dtypes, rng)
    return Report(subject.name, tuple(checks), tuple(diagnoses), tuple(notes))


def _guarded(name: str, tolerance: float, check: Callable[[], Mismatch]) -> Check:
    """A check whose failure to run is a failure."""
    try:
        mismatch = check()
    except Exception as error:  # whatever a user's rule may raise belongs in the report
        says = str(error).splitlines()[0] if str(error) else ""
        return Check(name, np.inf, tolerance, f"{type(error).__name__}: {says}")
    return Check(name, mismatch.figure, tolerance, str(mismatch))


def _form(subject: Subject, case: Case, dtypes: list[Any], rng: np.random.Generator) -> Check:
    """Structure, shapes and dtypes of the gradients: exactly those of the arguments."""
    problems: list[str] = []
    for dtype in (jnp.dtype("float64"), *dtypes):
        arguments = cast(subject.arguments, dtype)
        values, _, merge = Leaves.of(arguments, subject.differentiable)
        try:
            dy = normal_like(jax.eval_shape(lambda v: subject.function(merge(v)), values), rng)  # noqa: B023
            gradients = jax.eval_shape(lambda v, dy: subject.rule(merge(v), dy), values, dy)  # noqa: B023
            leaves = aligned(subject, arguments, gradients)
        except Exception as error:  # as in _guarded
            return Check("structure, shapes, dtypes", np.inf, 0.0, f"{type(error).__name__}: {error}")
        for name, argument, gradient, differentiable in zip(
            subject.names, arguments, gradients, subject.differentiable, strict=True
        ):
            all_floating = all(is_floating(leaf) for leaf in jax.tree.leaves(argument))
            structures = [str(jax.tree.structure(tree)) for tree in (gradient, argument)]
            if differentiable and all_floating and structures[0] != structures[1]:
                problems.append(f"d{name} is a {structures[0]}, {name} a {structures[1]}")
        for label, leaf, value in zip(case.labels, leaves, values, strict=True):
            if (leaf.shape, leaf.dtype) != (value.shape, value.dtype):
                problems.append(
                    f"{label} is {leaf.dtype}{list(leaf.shape)}, its argument {value.dtype}{list(value.shape)}"
                )
    return Check(
        "structure, shapes, dtypes", float(len(set(problems))), 0.0, "; ".join(dict.fromkeys(problems))
    )


def _gradient(cases: list[Case], compiled: Any, rng: np.random.Generator) -> Mismatch:
    """Every batch size, with random cotangents of several scales and one-hot ones; never all ones alone."""
    found = []
    for case in cases:
        both = compiled if case is cases[0] else case.compiled()
        cotangents = [normal_like(case.y, rng, scale) for scale in SCALES]
        if all(leaf.size for leaf in jax.tree.leaves(case.y)):
            cotangents += [one_hot_like(case.y, rng) for _ in range(2)]
        for dy in cotangents:
            got, wanted = both(case.leaves.values, dy)
            found.append(located(compare(case.labels, got, wanted, dy), case.name))
    return worst(found)


def _precision(subject: Subject, dtype: Any, rng: np.random.Generator) -> Mismatch:
    """Our error over what is allowed, twice autodiff's and a few ulps; both against float64 at the rounded inputs."""
    low = Case.of(subject, str(dtype), cast(subject.arguments, dtype))
    rounded = Case.of(subject, "rounded", cast(low.leaves.merge(low.leaves.values), jnp.float64))
    dy = normal_like(low.y, rng)
    got, autodiff = low.compiled()(low.leaves.values, dy)
    truth = rounded.by_jax(rounded.leaves.values, cast(dy, jnp.float64))
    allowed = ULPS * float(jnp.finfo(dtype).eps)
    found = []
    for by_hand, by_jax in zip(*(by_leaf(low.labels, g, truth, dy) for g in (got, autodiff)), strict=True):
        found.append(by_hand._replace(figure=by_hand.figure / (2 * by_jax.figure + allowed)))
    return worst(found)


def _differences(subject: Subject, case: Case, compiled: Any, rng: np.random.Generator) -> Mismatch:
    """Is the forward's own derivative what JAX says? Slopes along random directions."""
    found = []
    for _ in range(2):
        dy, direction = normal_like(case.y, rng), normal_like(case.leaves.values, rng)
        _, gradient = compiled(case.leaves.values, dy)
        wanted = float(dot(gradient, direction))
        got = central_difference(slope(subject, case.leaves.merge(case.leaves.values), direction, dy), wanted)
        figure = abs(got - wanted) / (abs(wanted) + norm(gradient)) if norm(gradient) else abs(got)
        found.append(Mismatch(figure, "slope", (), got, wanted))
    return worst(found)


def _consistency(subject: Subject, case: Case, compiled: Any, rng: np.random.Generator) -> list[Check]:
    """Linear in dy; eager, jitted and vmapped alike; the same twice; forward's value that of apply."""
    values, labels = case.leaves.values, case.labels
    u, v = normal_like(case.y, rng), normal_like(case.y, rng)

    def linear() -> Mismatch:
        mixed = jax.tree.map(lambda a, b: 3 * a - 0.5 * b, u, v)
        apart = [3 * a - 0.5 * b for a, b in zip(compiled(values, u)[0], compiled(values, v)[0], strict=True)]
        return compare(labels, compiled(values, mixed)[0], apart, mixed)

    def eager() -> Mismatch:
        return compare(labels, case.by_hand(values, u), compiled(values, u)[0], u)

    def vmapped() -> Mismatch:
        stacked = jax.tree.map(lambda a, b: jnp.stack([a, b]), u, v)
        twice = [jnp.stack([value, 0.5 * value]) for value in values]
        got = jax.jit(jax.vmap(case.by_hand))(twice, stacked)
        halves = [0.5 * value for value in values]
        parts = [compiled(values, u)[0], compiled(halves, v)[0]]
        return worst([compare(labels, [g[i] for g in got], part, (u, v)[i]) for i, part in enumerate(parts)])

    def repeated() -> Mismatch:
        pairs = zip(labels, case.by_hand(values, u), case.by_hand(values, u), strict=True)
        changed = [label for label, a, b in pairs if not np.array_equal(a, b, equal_nan=True)]
        return Mismatch(float(len(changed)), form=f"{', '.join(changed)} changed from one call to the next")

    def as_applied() -> Mismatch:
        assert subject.apply is not None
        arguments = case.leaves.merge(values)
        got, wanted = (
            jax.tree.leaves(subject.forward(arguments)[0]),
            jax.tree.leaves(subject.apply(arguments)),
        )
        return compare([f"y{i or ''}" for i in range(len(got))], got, wanted, got)

    checks = [
        _guarded("linear in dy", EXACT, linear),
        _guarded("eager = jit", EXACT, eager),
        _guarded("vmap = one by one", EXACT, vmapped),
        _guarded("the same twice", 0.0, repeated),
    ]
    if subject.apply is not None:
        checks.append(_guarded("forward's value = apply's", EXACT, as_applied))
    return checks


def _unread_residuals(subject: Subject, case: Case, rng: np.random.Generator) -> list[str]:
    """Residuals that backward never reads, found by following its jaxpr from the gradients back."""
    if not subject.has_residuals:
        return []
    values, dy = case.leaves.values, normal_like(case.y, rng)
    residuals = jax.eval_shape(lambda v: subject.forward(case.leaves.merge(v))[1], values)
    flat, treedef = flatten_with_path(residuals)

    def backward(leaves: list[Any], values: list[Any], dy: Any) -> Any:
        arguments = case.leaves.merge(values)
        return aligned(subject, arguments, subject.backward(arguments, treedef.unflatten(leaves), dy))

    jaxpr = jax.make_jaxpr(backward)([leaf for _, leaf in flat], values, dy).jaxpr
    needed = {id(var) for var in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(var) in needed for var in equation.outvars):
            needed |= {id(var) for var in equation.invars}
    names = [f"residuals{jax.tree_util.keystr(path)}" for path, _ in flat]
    unread = [name for name, var in zip(names, jaxpr.invars, strict=False) if id(var) not in needed]
    return [f"backward never reads {', '.join(unread)}"] if unread else []


def _diagnoses(
    subject: Subject, cases: list[Case], dtypes: list[Any], rng: np.random.Generator
) -> list[Diagnosis]:
    """What is wrong with each leaf that is, in the first case that shows it; best of all at a batch of a prime size."""
    cases = sorted(cases, key=lambda case: case.name != f"batch {SIZES[1]}")
    for dtype in (jnp.dtype("float64"), *dtypes):
        for case in cases:
            found = _diagnoses_of(subject, case, dtype, rng)
            if found:
                return found
    return []


def _diagnoses_of(subject: Subject, case: Case, dtype: Any, rng: np.random.Generator) -> list[Diagnosis]:
    at = Case.of(subject, case.name, cast(case.leaves.merge(case.leaves.values), dtype))
    values = at.leaves.values
    dy, other_dy = normal_like(at.y, rng), normal_like(at.y, rng)
    try:
        got, again = at.by_hand(values, dy), at.by_hand(values, other_dy)
    except Exception:  # the checks have said so
        return []
    rounded = Case.of(subject, "rounded", cast(at.leaves.merge(values), jnp.float64))
    wanted = rounded.by_jax(rounded.leaves.values, cast(dy, jnp.float64))
    tolerance = EXACT if dtype == jnp.float64 else 100 * float(jnp.finfo(dtype).eps)
    wrong = [i for i, m in enumerate(by_leaf(at.labels, got, wanted, dy)) if not m.figure <= tolerance]
    return [diagnose(_evidence(subject, at, values, dy, i, got, wanted, again)) for i in wrong]


def _evidence(
    subject: Subject,
    case: Case,
    values: list[Any],
    dy: Any,
    i: int,
    got: list[Any],
    wanted: list[Any],
    again: list[Any],
) -> Evidence:
    arguments = case.leaves.merge(values)
    y, residuals = subject.forward(arguments)
    flat, treedef = flatten(residuals)
    y_array = y if hasattr(y, "shape") else None
    labels = case.labels
    named = {label[1:]: wide(value) for label, value in zip(labels, values, strict=True)}
    known = {"y": y_array, **dict(zip(named, values, strict=True))}

    def looks_like(leaf: Any) -> str | None:
        for name, value in known.items():
            if value is not None and leaf.shape == value.shape and np.array_equal(leaf, value):
                return name
        return None

    def with_residual(other: str, number: int) -> Any:
        replacement = known[other]
        if replacement is None or replacement.shape != flat[number].shape:
            return None
        changed = treedef.unflatten([*flat[:number], replacement, *flat[number + 1 :]])
        try:
            return aligned(subject, arguments, subject.backward(arguments, changed, dy))[i]
        except Exception:  # then it was not that
            return None

    seen = {number: looks_like(leaf) for number, leaf in enumerate(flat) if hasattr(leaf, "shape")}
    sizes = (
        {value.shape[0] for value in values if getattr(value, "ndim", 0)} if subject.resize is None else set()
    )
    batch = (
        int(case.name.removeprefix("batch ")) if case.name.startswith("batch ") else max(sizes, default=None)
    )
    if y_array is not None and y_array.ndim:
        batch = y_array.shape[0]
    return Evidence(
        label=labels[i],
        got=wide(got[i]),
        expected=wide(wanted[i]),
        batch=batch,
        dy=wide(dy) if hasattr(dy, "shape") else None,
        x=named,
        y=None if y_array is None else wide(y_array),
        other_expected={
            label: wide(w) for j, (label, w) in enumerate(zip(labels, wanted, strict=True)) if j != i
        },
        got_for_another_dy=wide(again[i]),
        with_residual=with_residual,
        residuals={number: name for number, name in seen.items() if name is not None},
    )
