"""The diagnosis names the mistake that was planted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Layer, Linear, check_backward, deterministic, linear, softmax, tanh
from backhand.verify.diagnosis import Evidence, diagnose
from tests.verify.rules import (
    attention,
    layer_norm,
    linear_with,
    plain_attention,
    softmax_rule,
    wrong,
)

X = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
slow = pytest.mark.slow

# A gradient of 7 examples by 4 features, as it should be, and what it might be confused with.
EXPECTED, DY, Y, INPUT, NOISE = np.random.default_rng(1).standard_normal((5, 7, 4))
SQUARE = EXPECTED[:4]
SUMMED = EXPECTED.sum(1, keepdims=True)


def rows_with(value, at, axis=0):
    """The right gradient, but for the slice `at`."""
    spoilt = EXPECTED.copy()
    spoilt[(slice(None),) * axis + (at,)] = value
    return spoilt


# What was got, what else differs from the usual evidence, the kind, and what is said.
EVIDENCE = [
    (rows_with(np.nan, 2), {}, "not finite", "not finite in 4 of 28 entries, [2, 0] first"),
    (0 * EXPECTED, {}, "zeroed", "0 everywhere"),
    (-EXPECTED, {}, "wrong sign", "has the wrong sign"),
    (7 * EXPECTED, {}, "sum for mean", "a sum where the forward takes a mean"),
    (EXPECTED / 7, {}, "mean for sum", "1/7, and 7 is the batch size: a mean where"),
    (2 * EXPECTED, {}, "factor 2", "is 2× what jax.vjp gives"),
    (EXPECTED / 2, {}, "factor ½", "is 0.5×"),
    (4 * EXPECTED, {}, "factor", "4 is the size of an axis"),
    (1.3 * EXPECTED, {}, "factor", "is 1.3×"),
    (SQUARE.T, {"expected": SQUARE}, "transposed", "is transposed"),
    (NOISE, {"other_expected": {"db": NOISE}}, "swapped", "belongs to db"),
    (NOISE, {"got_for_another_dy": NOISE}, "stale", "the same for every dy"),
    (INPUT, {"got_for_another_dy": INPUT}, "stale", "is x itself, not a gradient"),
    (DY, {}, "no derivative", "is dy itself"),
    (NOISE, {"retried": [("r were y", EXPECTED)]}, "input for output", "be right if r were y"),
    (SUMMED, {}, "summed too far", "summed over its axis 1"),
    (np.broadcast_to(SUMMED, (7, 4)), {}, "summed too far", "summed over its axis 1"),
    (EXPECTED, {"expected": EXPECTED.sum(0)}, "not summed", "right once summed over the batch"),
    (np.roll(EXPECTED, 1, 1), {}, "moved", "shifted by one along axis 1"),
    (EXPECTED[::-1], {}, "moved", "reversed along axis 0"),
    (rows_with(0, 3), {}, "zeroed slice", "is 0 at 3 of axis 0"),
    (rows_with(3, 2, axis=1), {}, "wrong slice", "wrong at 2 of axis 1"),
    (EXPECTED - SUMMED, {}, "missing row term", "the row's mean, which normalising subtracts"),
    (EXPECTED - SUMMED * Y, {}, "missing row term", "a sum over the row, weighed by y"),
    (EXPECTED.astype(np.float32), {}, "cast too early", "float32's precision"),
    (EXPECTED + 0.1 * NOISE, {}, "unknown", "none of the usual mistakes fits. Worst: ["),
]


def evidence(got, **changes):
    usual = {
        "label": "dx",
        "got": got,
        "expected": EXPECTED,
        "batch": 7,
        "dy": DY,
        "known": {"y": Y, "x": INPUT},
        "other_expected": {},
        "got_for_another_dy": EXPECTED,
        "retried": (),
    }
    return Evidence(**usual | changes)


@pytest.mark.parametrize(("got", "changes", "kind", "says"), EVIDENCE)
def test_the_first_that_fits(got, changes, kind, says):
    diagnosis = diagnose(evidence(np.asarray(got, np.float64), **changes))
    assert (diagnosis.kind, diagnosis.leaf) == (kind, "dx")
    assert says in diagnosis.text


# From here on with the checker around it.


def diagnosed(subject, *inputs, **settings):
    report = check_backward(subject, *(inputs or (X,)), **settings)
    assert not report.ok
    assert report.diagnoses, report
    return report.diagnoses


def with_dx(layer: Layer, spoil) -> Layer:
    return wrong(layer, lambda dparams, dx: (dparams, spoil(dx)))


def with_rule(rule) -> Layer:
    """tanh, with rule(y, dy) for its dx."""
    return tanh._replace(backward=lambda params, y, dy: ((), rule(y, dy)))


def square_linear(spoil) -> Layer:
    return wrong(linear(5), spoil)


def confused(keep) -> Layer:
    """Sigmoid, whose backward wants y and is given keep(x, y)."""

    def forward(params, x):
        y = jax.nn.sigmoid(x)
        return y, keep(x, y)

    return deterministic(
        lambda key, x: (), forward, lambda p, y, dy: ((), dy * y * (1 - y)), name="confused"
    )


MISTAKES = {
    "not finite": (
        with_dx(tanh, lambda dx: dx.at[2:3, 1].set(jnp.nan)),
        "dx",
        "not finite in 1 of 35",
    ),
    "zeroed": (linear_with(dw=jnp.zeros_like), "dw", "0 everywhere"),
    "wrong sign": (linear_with(dw=lambda dw: -dw), "dw", "has the wrong sign"),
    "mean for sum": (linear_with(db=lambda db: db / 7), "db", "7 is the batch size: a mean where"),
    "sum for mean": (
        linear_with(db=lambda db: db * 7),
        "db",
        "a sum where the forward takes a mean",
    ),
    "factor 2": (linear_with(dx=lambda dx: 2 * dx), "dx", "dx is 2× what jax.vjp gives"),
    "factor ½": (linear_with(dx=lambda dx: dx / 2), "dx", "dx is 0.5×"),
    "factor": (linear_with(dw=lambda dw: 1.3 * dw), "dw", "dw is 1.3×"),
    "transposed": (
        square_linear(lambda dp, dx: (Linear(dp.w.T, dp.b), dx)),
        "dw",
        "dw is transposed",
    ),
    "stale": (with_rule(lambda y, dy: y), "dx", "dx is y itself, not a gradient"),
    "no derivative": (with_rule(lambda y, dy: dy), "dx", "dx is dy itself"),
    "input for output": (confused(lambda x, y: x), "dx", "were y: input and output are confused"),
    "summed too far": (
        with_dx(tanh, lambda dx: jnp.broadcast_to(dx.sum(1, keepdims=True), dx.shape)),
        "dx",
        "summed over its axis 1",
    ),
    "moved": (with_dx(tanh, lambda dx: jnp.roll(dx, 1, 1)), "dx", "shifted by one along axis 1"),
    "zeroed slice": (linear_with(dw=lambda dw: dw.at[3].set(0)), "dw", "dw is 0 at 3 of axis 0"),
    "wrong slice": (
        linear_with(dw=lambda dw: dw.at[:, 2].multiply(3)),
        "dw",
        "wrong at 2 of axis 1",
    ),
    "missing row term": (layer_norm(mean_term=False), "dx", "the row's mean"),
    "cast too early": (
        with_rule(lambda y, dy: (1 - y * y) * dy.astype(jnp.float32).astype(dy.dtype)),
        "dx",
        "float32's precision: it was cast too early",
    ),
}


@slow
@pytest.mark.parametrize("kind", MISTAKES)
def test_a_planted_mistake_is_named(kind):
    subject, leaf, says = MISTAKES[kind]
    (diagnosis,) = diagnosed(subject)
    assert (diagnosis.kind, diagnosis.leaf) == (kind, leaf)
    assert says in diagnosis.text


@slow
def test_not_summed():
    spoilt = linear(4)._replace(
        backward=lambda params, x, dy: (Linear(x.T @ dy, dy), dy @ params.w.T)  # db without its sum
    )
    (diagnosis,) = diagnosed(spoilt)
    assert (diagnosis.kind, diagnosis.leaf) == ("not summed", "db")
    assert "right once summed over the batch" in diagnosis.text


def test_swapped():
    def product(x, y):
        return x * y, (x, y)

    first, second = diagnosed((product, lambda r, dy: (r[0] * dy, r[1] * dy)), X, X[::-1])
    assert (first.kind, first.leaf, second.leaf) == ("swapped", "dx", "dy")
    assert "belongs to dy" in first.text


@slow
def test_where_nothing_fits():
    (diagnosis,) = diagnosed(linear_with(dw=lambda dw: jnp.sin(40 * dw)))
    assert diagnosis.kind == "unknown"
    assert "none of the usual mistakes fits. Worst: [" in diagnosis.text
    assert "expected" in diagnosis.text


def test_every_wrong_leaf_has_its_own():
    found = diagnosed(linear_with(dw=lambda dw: -dw, db=lambda db: 2 * db))
    assert [(d.kind, d.leaf) for d in found] == [("wrong sign", "dw"), ("factor 2", "db")]


# The three that a user is most likely to write: each checker that looks at the norm alone, or with
# dy all ones, lets one of them pass.


@slow
def test_layer_norm_without_its_mean_term():
    report = check_backward(layer_norm(mean_term=False), X)
    gradient = next(check for check in report.checks if check.name.startswith("gradient"))
    assert not gradient.ok
    assert "dx[" in gradient.detail
    (diagnosis,) = report.diagnoses
    assert (diagnosis.kind, diagnosis.leaf) == ("missing row term", "dx")
    assert "the row's mean, which normalising subtracts, is missing" in diagnosis.text


@slow
def test_softmax_without_its_row_sum():
    for subject in (
        softmax_rule(row_sum=False),
        softmax._replace(backward=lambda p, y, dy: ((), y * dy)),
    ):
        (diagnosis,) = diagnosed(subject)
        assert (diagnosis.kind, diagnosis.leaf) == ("missing row term", "dx")
        assert "as softmax's Σ dy·y" in diagnosis.text


@slow
def test_attention_without_its_row_sum():
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(3, 4), (5, 4), (5, 2)]]
    report = check_backward(attention(row_sum=False), *inputs, reference=plain_attention)
    assert [d.leaf for d in report.diagnoses] == [
        "dq",
        "dk",
    ]  # v's gradient does not pass the softmax
    assert all("Worst: [" in d.text for d in report.diagnoses)
    gradient = next(check for check in report.checks if check.name.startswith("gradient"))
    assert "dq[" in gradient.detail or "dk[" in gradient.detail


@slow
def test_linear_whose_bias_gradient_is_a_mean():
    mean = linear(4)._replace(
        backward=lambda params, x, dy: (
            Linear(x.T @ dy, dy.sum(0) / max(len(dy), 1)),
            dy @ params.w.T,
        )
    )
    report = check_backward(mean, X)
    (diagnosis,) = report.diagnoses
    assert (diagnosis.kind, diagnosis.leaf) == ("mean for sum", "db")
    assert "db[" in next(
        check.detail for check in report.checks if check.name.startswith("gradient")
    )


@slow
def test_sigmoid_is_right_when_told_its_output():
    assert check_backward(confused(lambda x, y: y), X).ok
