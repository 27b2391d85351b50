"""check_backward finds right what is right, and wrong what is wrong, whatever is wrong with it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import (
    BackwardError,
    Linear,
    Loss,
    assert_backward,
    check_backward,
    deterministic,
    linear,
    relu,
    serial,
    softmax_cross_entropy,
    tanh,
)
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


def failed(report):
    """The names of the checks that failed, up to their first comma."""
    return {check.name.split(",")[0] for check in report.checks if not check.ok}


def elementwise(forward, backward):
    """A layer without params: forward(x) -> (y, residuals), backward(residuals, dy) -> dx."""
    return deterministic(
        lambda key, x: (),
        lambda params, x: forward(x),
        lambda params, residuals, dy: ((), backward(residuals, dy)),
        name="user's",
    )


def sine(backward=lambda x, dy: jnp.cos(x) * dy):
    return lambda x: (jnp.sin(x), x), backward


@pytest.mark.parametrize(
    "subject", [linear(3), pytest.param(layer_norm(), marks=slow)], ids=["linear", "layer norm"]
)
def test_right_layers(subject):
    report = check_backward(subject, X, dtypes=("float32", "bfloat16", "float16"))
    assert report.ok, report
    assert len([check for check in report.checks if check.name.startswith("precision")]) == 3
    assert not report.diagnoses


@pytest.mark.parametrize(
    "pair", [sine(lambda x, dy: (jnp.cos(x) * dy,)), pytest.param(softmax_rule(), marks=slow)]
)
def test_a_pair_of_one_argument(pair):
    assert_backward(pair, X)


def test_a_right_custom_vjp():
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(3, 4), (5, 4), (5, 2)]]
    assert_backward(attention(), *inputs, reference=plain_attention)


@slow
def test_trees_with_integers_and_keys():
    def plain(tree, key, rows):
        noise = jax.random.normal(key, (4, 3), tree["a"].dtype)
        return {"y": tree["a"][rows] * noise + tree["b"][0]}

    def forward(tree, key, rows):
        return plain(tree, key, rows), (tree, key, rows)

    def backward(residuals, dy):
        tree, key, rows = residuals
        noise = jax.random.normal(key, (4, 3), dy["y"].dtype)
        da = jnp.zeros_like(tree["a"]).at[rows].add(dy["y"] * noise)
        return {"a": da, "b": (dy["y"].sum(),)}, None, None

    f = jax.custom_vjp(plain)
    f.defvjp(forward, backward)
    tree = {"a": jax.ShapeDtypeStruct((5, 3), jnp.float32), "b": (jnp.ones((), jnp.float32),)}
    given, rows = (f, tree, jax.random.key(3)), np.array([0, 2, 2, 4])
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        report = check_backward(*given, rows, reference=plain)
        assert report.ok, report
        wrong = {"b": lambda dy: (2 * dy["y"].sum(),)}
        f.defvjp(forward, lambda r, dy: (backward(r, dy)[0] | {"b": wrong["b"](dy)}, None, None))
        report = check_backward(*given, rows, reference=plain)
    assert [d.leaf for d in report.diagnoses] == ["dtree.b.0"], report


def test_nothing_to_check():
    with pytest.raises(TypeError, match="reference="):
        check_backward(attention(), X, X, X)
    with pytest.raises(TypeError, match="subject should be a Layer"):
        check_backward(3, X)
    with pytest.raises(TypeError, match="a Layer is checked on one x"):
        check_backward(tanh, X, X)
    with pytest.raises(TypeError, match="a Loss is checked on a prediction and a target"):
        check_backward(softmax_cross_entropy, X)
    with pytest.raises(TypeError, match="values are needed"):
        check_backward(softmax_cross_entropy, X, jax.ShapeDtypeStruct((6,), jnp.int32))
    with pytest.raises(ValueError, match="target should hold labels from 0 to 4"):
        check_backward(softmax_cross_entropy, X, np.full(6, 5))
    with pytest.raises(ValueError, match=r"finite.*input\[0, 0\] = nan"):
        check_backward(tanh, np.full((2, 2), np.nan, np.float32))


@pytest.mark.parametrize("x64", [False, pytest.param(True, marks=slow)])
def test_jax_is_left_as_it_was(x64):
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"):
        before = jax.config.values.copy()
        check_backward(tanh, X)
        check_backward(sine(lambda x, dy: 1 / 0), X)
        assert jax.config.values == before
        assert jax.config.jax_enable_x64 is x64
        assert jnp.zeros(2).dtype == ("float64" if x64 else "float32")


@slow
def test_a_seed_makes_one_report():
    spoilt = linear_with(db=lambda db: 2 * db)
    assert str(check_backward(spoilt, X, seed=3)) == str(check_backward(spoilt, X, seed=3))
    assert str(check_backward(spoilt, X, seed=3)) != str(check_backward(spoilt, X, seed=4))


def test_assert_backward_raises_the_report():
    with pytest.raises(BackwardError) as error:
        assert_backward(linear_with(dw=lambda dw: -dw), X)
    assert not error.value.report.ok
    assert str(error.value.report) in str(error.value)
    assert "dw has the wrong sign" in str(error.value)


def test_unread_residuals_are_named():
    pair = lambda x: (jnp.sin(x), {"x": x, "y": jnp.sin(x)}), lambda r, dy: jnp.cos(r["x"]) * dy
    report = check_backward(pair, X)
    assert report.ok
    assert report.notes == ("backward never reads residuals['y']",)


@pytest.mark.parametrize(
    ("at_zero", "ok"),
    [
        pytest.param(0.0, True, marks=slow),
        (0.5, True),
        pytest.param(1.0, True, marks=slow),
        (2.0, False),
    ],
)
def test_a_kink_is_a_convention(at_zero, ok):
    def backward(x, dy):
        return jnp.where(x > 0, 1.0, jnp.where(x < 0, 0.0, at_zero)).astype(dy.dtype) * dy

    report = check_backward(elementwise(lambda x: (jax.nn.relu(x), x), backward), X)
    assert report.ok is ok, report
    noted = any("kink" in note for note in report.notes)
    assert noted is (at_zero in (0.5, 1.0))
    if not ok:
        assert failed(report) == {"edges: ±0"}


@slow
def test_nan_at_saturation():
    def backward(x, dy):  # right, but e^x overflows to ∞/∞ at 10⁴
        return dy * jnp.exp(x) / (1 + jnp.exp(x)) ** 2

    report = check_backward(elementwise(lambda x: (jax.nn.sigmoid(x), x), backward), X)
    assert failed(report) == {"edges: ±0"}
    assert "±1e4" in next(check.detail for check in report.checks if not check.ok)
    assert "nan" in str(report)


def test_what_is_not_linear_in_dy():
    report = check_backward(sine(lambda x, dy: jnp.cos(x) * dy * jnp.abs(dy)), X)
    assert "linear in dy" in failed(report)


def test_a_rule_with_a_memory():
    calls = itertools.count()
    report = check_backward(sine(lambda x, dy: jnp.cos(x) * dy + 1e-15 * next(calls)), X)
    assert failed(report) >= {"the same twice"}
    assert "dx changed from one call to the next" in str(report)


def test_a_forward_that_is_not_apply():
    f = jax.custom_vjp(jnp.sin)
    f.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (jnp.cos(x) * dy,))
    report = check_backward(f, X, reference=lambda x: jnp.sin(x) + 1)
    assert failed(report) == {"forward's value = apply's"}


@slow
def test_a_layer_whose_forward_is_not_its_apply():
    spoilt = tanh._replace(apply=lambda params, x: 1.001 * jnp.tanh(x))
    assert failed(check_backward(spoilt, X)) == {"forward's value = apply's"}


def test_a_forward_whose_own_derivative_is_wrong():
    @jax.custom_jvp
    def sin(x):
        return jnp.sin(x)

    # jax.vjp believes this; differences don't.
    sin.defjvp(lambda x, dx: (jnp.sin(x[0]), jnp.sin(x[0]) * dx[0]))
    report = check_backward((lambda x: (sin(x), x), lambda x, dy: jnp.sin(x) * dy), X)
    assert failed(report) == {"central differences"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda dp, dx: (tuple(dp), dx), "dparams is a", marks=slow),
        pytest.param(
            lambda dp, dx: (Linear(dp.w.astype(jnp.float32), dp.b), dx),
            "dw is float32[5, 4]",
            marks=slow,
        ),
        (lambda dp, dx: (Linear(dp.w, dp.b[None]), dx), "db is float64[1, 4]"),
        pytest.param(lambda dp, dx: (Linear(dp.w.T, dp.b), dx), "dw is float64[4, 5]", marks=slow),
        (lambda dp, dx: (dp, dx, dx), "backward should return a tuple of 2 gradients, got 3"),
        (lambda dp, dx: dx, "backward should return a tuple of 2 gradients, got one value"),
        (lambda dp, dx: (dp.w, dx), "dparams has 1 leaves, params has 2"),
        (lambda dp, dx: (dp, None), "backward returns None for a floating argument"),
        (lambda dp, dx: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_gradients_of_another_form(spoil, says):
    report = check_backward(wrong(linear(4), spoil), X)
    assert "structure" in failed(report)
    assert says in str(report), report


def test_a_rule_that_raises_with_some_batches():
    def backward(x, dy):
        assert len(x) != 7
        return jnp.cos(x) * dy

    report = check_backward(elementwise(sine()[0], backward), X)
    assert "AssertionError" in str(report)


@pytest.mark.parametrize("batch", [1, pytest.param(6, marks=slow)])
def test_other_batches_are_tried(batch):
    mean = wrong(linear(4), lambda dp, dx: (Linear(dp.w, dp.b / max(len(dx), 1)), dx))
    report = check_backward(mean, X[:batch])
    assert {(d.kind, d.leaf) for d in report.diagnoses} == {("mean for sum", "db")}, report


@slow
def test_a_loss_that_forgets_the_mean():
    forward, backward, check = softmax_cross_entropy
    spoilt = Loss(forward, lambda residuals: backward(residuals) * len(residuals[0]), check)
    report = check_backward(spoilt, X[:1], np.zeros(1, np.int32))
    assert {(d.kind, d.leaf) for d in report.diagnoses} == {("sum for mean", "dprediction")}, report


def test_an_empty_batch():
    spoilt = wrong(tanh, lambda dp, dx: (dp, dx * (dx.shape[0] // dx.shape[0])))
    report = check_backward(spoilt, X)
    assert "ZeroDivisionError" in str(report)


@slow
def test_a_mistake_deep_in_a_net():
    report = check_backward(serial(linear(4), relu, linear_with(db=lambda db: 2 * db)), X)
    assert [(d.kind, d.leaf) for d in report.diagnoses] == [("factor 2", "dparams.2.b")], report
