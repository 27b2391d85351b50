import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import (
    Loss,
    absolute_error,
    cross_entropy,
    huber,
    logistic,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from backhand.verify import assert_backward
from tests.trees import normal_like

REGRESSION = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber(1)": huber(),
    "huber(0.2)": huber(0.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REGRESSION)
def test_backward_of_one_output_without_an_axis(name):
    """With two axes, every loss is checked as the catalogue is."""
    like = jax.ShapeDtypeStruct((7,), jnp.float32)
    assert_backward(REGRESSION[name], like, like)


def logits_and_labels(batch: int, classes: int = 4):
    labels = jnp.asarray(np.random.default_rng(batch).integers(0, classes, batch))
    return 3 * normal_like(jnp.zeros((batch, classes)), batch), labels


def value(loss: Loss, prediction, target) -> float:
    return float(loss.forward(jnp.asarray(prediction), jnp.asarray(target))[0])


def test_values_by_hand():
    prediction, target = [[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.0]]
    assert value(squared_error, prediction, target) == pytest.approx((1 + 4 + 0.25) / 2)
    assert value(absolute_error, prediction, target) == pytest.approx((1 + 2 + 0.5) / 2)
    assert value(huber(1.0), prediction, target) == pytest.approx((0.5 + 1.5 + 0.125) / 2)
    assert value(huber(10.0), prediction, target) == pytest.approx(
        value(squared_error, prediction, target) / 2
    )
    assert value(logistic, [[2.0], [-1.0]], [1, 0]) == pytest.approx(
        (np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2
    )
    assert value(cross_entropy, [[0.25, 0.75], [0.5, 0.5]], [1, 0]) == pytest.approx(
        -np.log([0.75, 0.5]).mean()
    )
    assert value(softmax_cross_entropy, [[0.0, 0.0], [0.0, np.log(3)]], [0, 1]) == pytest.approx(
        -np.log([0.5, 0.75]).mean()
    )


def test_the_fused_loss_is_softmax_then_cross_entropy():
    logits, labels = logits_and_labels(8)
    y, residuals = softmax.forward((), logits, jax.random.key(0))
    loss, loss_residuals = cross_entropy.forward(y, labels)
    _, dlogits = softmax.backward((), residuals, cross_entropy.backward(loss_residuals))
    fused, fused_residuals = softmax_cross_entropy.forward(logits, labels)
    np.testing.assert_allclose(loss, fused, rtol=1e-12)
    np.testing.assert_allclose(
        dlogits, softmax_cross_entropy.backward(fused_residuals), rtol=1e-11, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_fused_losses_are_stable(dtype):
    logits = jnp.asarray([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, -jnp.inf, 0.0]], dtype)
    loss, residuals = softmax_cross_entropy.forward(logits, jnp.array([1, 1, 0]))
    np.testing.assert_allclose(loss, (2e4 + 2 * np.log(2)) / 3, rtol=1e-6)
    np.testing.assert_allclose(
        softmax_cross_entropy.backward(residuals),
        np.array([[1, -1, 0], [0, -0.5, 0.5], [-0.5, 0, 0.5]]) / 3,
        rtol=1e-6,
    )
    loss, residuals = logistic.forward(jnp.asarray([[1e4], [-1e4]], dtype), jnp.array([0, 0]))
    np.testing.assert_allclose(loss, 5e3, rtol=1e-6)
    np.testing.assert_allclose(logistic.backward(residuals), [[0.5], [0]], rtol=1e-6)


@pytest.mark.parametrize("z", [10.0, 15.0, 20.0, 80.0])
def test_logistic_keeps_its_digits(z):
    loss, residuals = logistic.forward(jnp.full((1, 1), z, jnp.float32), jnp.array([1]))
    np.testing.assert_allclose(loss, np.log1p(np.exp(-z)), rtol=1e-6)
    np.testing.assert_allclose(logistic.backward(residuals), [[-1 / (1 + np.exp(z))]], rtol=1e-6)


def test_half_precision_does_not_overflow_over_many_examples():
    n = 60_000
    logits, labels = jnp.zeros((n, 10), jnp.float16), jnp.zeros(n, jnp.int32)
    assert softmax_cross_entropy.forward(logits, labels)[0] == pytest.approx(np.log(10), rel=1e-3)
    assert squared_error.forward(logits + 2, logits)[0] == pytest.approx(40, rel=1e-3)
    assert huber().forward(logits + 2, logits)[0] == pytest.approx(15, rel=1e-3)


@pytest.mark.parametrize("loss", [cross_entropy, softmax_cross_entropy])
def test_small_label_dtypes_do_not_wrap(loss):
    p = jnp.full((2, 300), 1 / 300, jnp.float32)
    gradients = [
        loss.backward(loss.forward(p, jnp.array([0, 5], dtype))[1])
        for dtype in (jnp.uint8, jnp.int32)
    ]
    np.testing.assert_array_equal(*gradients)


def test_a_probability_of_zero_costs_the_most_and_teaches_nothing():
    loss, residuals = cross_entropy.forward(jnp.asarray([[0.0, 1.0]], jnp.float32), jnp.array([0]))
    np.testing.assert_allclose(loss, -np.log(np.finfo(np.float32).tiny), rtol=1e-6)
    np.testing.assert_array_equal(cross_entropy.backward(residuals), [[0, 0]])


def test_a_tie_is_flat():
    zero = jnp.zeros((2, 1))
    for loss in REGRESSION.values():
        assert not loss.backward(loss.forward(zero, zero)[1]).any()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_gradients_keep_the_dtype(dtype):
    labels, p = jax.ShapeDtypeStruct((2,), int), jax.ShapeDtypeStruct((2, 2), dtype)
    for loss, args in [
        *((loss, (p, p)) for loss in (*REGRESSION.values(), huber(np.float32(1)))),
        (logistic, (jax.ShapeDtypeStruct((2, 1), dtype), labels)),
        (cross_entropy, (p, labels)),
        (softmax_cross_entropy, (p, labels)),
    ]:
        got, residuals = jax.eval_shape(loss.forward, *args)
        assert got.dtype == jax.eval_shape(loss.backward, residuals).dtype == dtype


def numbers(*shape):
    return np.zeros(shape, np.float32)


def whole(*shape):
    return np.zeros(shape, int)


NAN = np.array([[1], [np.nan]], np.float32)
MSE, SCE, CE = squared_error, softmax_cross_entropy, cross_entropy
BAD_VALUES = [
    (MSE, numbers(4, 1), numbers(4), r"shape \(4, 1\), got \(4,\); .*reshape\(4, 1\)"),
    (MSE, numbers(4), numbers(4, 1), r"reshape\(4\) would fit"),
    (absolute_error, numbers(4, 2), numbers(4, 1), r"shape \(4, 2\), got \(4, 1\)$"),
    (MSE, numbers(2, 1), NAN, r"target\[1, 0\] = nan"),
    (MSE, numbers(0, 1), numbers(0, 1), r"target is empty, of shape \(0, 1\)"),
    (MSE, numbers(2, 1), np.float32(1), "should have a batch axis, got a scalar"),
    (SCE, numbers(3, 2), np.array([0, 2, 1]), r"0 to 1, .* target\[1\] is 2"),
    (SCE, numbers(3, 2), np.array([0, 1, -1]), r"target\[2\] is -1"),
    (SCE, numbers(3, 2), np.eye(3, 2, dtype=int), r"target.argmax\(1\)"),
    (SCE, numbers(3, 2), whole(3, 1), r"target\[:, 0\] would fit"),
    (SCE, numbers(3, 2), whole(4), r"shape \(3,\).* got \(4,\)"),
    (SCE, numbers(3), whole(3), r"shape \(batch, classes\), got \(3,\)"),
    (SCE, numbers(0, 2), whole(0), "target is empty"),
    (CE, np.array([[2.0, -1.0]]), np.array([0]), "softmax_cross_entropy"),
    (CE, np.array([[0.2, 0.2]]), np.array([0]), "row 0 is from 0.2 to 0.2 and sums to 0.4"),
    (logistic, numbers(2, 2), np.array([0, 1]), r"shape \(batch, 1\), got \(2, 2\)"),
    (logistic, numbers(2, 1), np.array([-1, 1]), r"0 to 1, for 2 classes, but target\[0\] is -1"),
]
BAD_TYPES = [
    (huber(), numbers(4, 1), whole(4, 1), r"float32, got int64; .*astype\('float32'\)"),
    (MSE, numbers(4, 1), np.zeros((4, 1)), "dtype float32, got float64"),
    (MSE, numbers(2, 1), [[1.0], [2.0]], "should be an array, got list"),
    (SCE, numbers(3, 2), numbers(3), r"integer labels, got float32; .*int32"),
]


@pytest.mark.parametrize(
    ("error", "loss", "prediction", "target", "says"),
    [(ValueError, *case) for case in BAD_VALUES] + [(TypeError, *case) for case in BAD_TYPES],
)
def test_bad_targets(error, loss, prediction, target, says):
    with pytest.raises(error, match=says):
        loss.forward(prediction, target)


def test_shapes_are_checked_while_tracing():
    with pytest.raises(ValueError, match=r"got \(4,\)"):
        jax.make_jaxpr(squared_error.forward)(jnp.zeros((4, 1)), jnp.zeros(4))


@pytest.mark.parametrize(
    ("delta", "error"),
    [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError), ("1", TypeError)],
)
def test_bad_delta(delta, error):
    with pytest.raises(error, match="huber: delta"):
        huber(delta)
