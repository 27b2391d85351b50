import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import accuracy, mean_absolute_error, r2, zero_one

rng = np.random.default_rng(0)
SCORES, LABELS = jnp.asarray(rng.standard_normal((50, 3))), jnp.asarray(rng.integers(0, 3, 50))
PREDICTION, TARGET = (
    jnp.asarray(rng.standard_normal((50, 1))),
    jnp.asarray(rng.standard_normal((50, 1))),
)


def test_agree_with_scikit_learn():
    from sklearn import metrics  # here, as it takes a second to import

    right = metrics.accuracy_score(LABELS, SCORES.argmax(1))
    assert accuracy(SCORES, LABELS) == pytest.approx(right)
    assert zero_one(SCORES, LABELS) == pytest.approx(1 - right)
    error = metrics.mean_absolute_error(TARGET, PREDICTION)
    assert mean_absolute_error(PREDICTION, TARGET) == pytest.approx(error)
    assert r2(PREDICTION, TARGET) == pytest.approx(metrics.r2_score(TARGET, PREDICTION))


def test_can_be_jitted():
    for metric, args in [(accuracy, (SCORES, LABELS)), (r2, (PREDICTION, TARGET))]:
        assert jax.jit(metric)(*args) == pytest.approx(metric(*args))


@pytest.mark.parametrize("count", [41, 60])
def test_all_right_is_exactly_one_when_jitted(count):
    """XLA's product with 1/N would give 0.99999994 and, less a share, −5e-8."""
    scores, labels = jnp.ones((count, 1)), jnp.ones(count, jnp.int32)
    assert jax.jit(accuracy)(scores, labels) == 1
    assert jax.jit(zero_one)(scores, labels) == 0


def test_one_column_is_a_logit():
    assert accuracy(jnp.array([[2.0], [-1.0], [0.5]]), jnp.array([1, 0, 0])) == pytest.approx(2 / 3)


def test_nan_is_not_class_0():
    assert jnp.isnan(accuracy(SCORES.at[3].set(jnp.nan), 0 * LABELS))


def test_a_label_does_not_wrap_and_a_share_does_not_round_to_more_than_one():
    scores = jnp.zeros((1, 300)).at[0, 256].set(1.0)
    assert accuracy(scores, jnp.array([0], jnp.uint8)) == 0
    assert accuracy(jnp.zeros((60_000, 2), jnp.float16), jnp.zeros(60_000, jnp.int32)) == 1
    assert accuracy(jnp.array([[1, 0], [0, 1]]), jnp.array([0, 0])) == 0.5


def test_r2_of_several_outputs_and_of_the_mean():
    y = jnp.array([[0.0, 10.0], [2.0, 30.0]])
    assert r2(y, y) == 1
    assert r2(jnp.array([[1.0, 20.0]] * 2), y) == 0


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "error", "says"),
    [
        (accuracy, SCORES, LABELS[:, None], ValueError, r"target\[:, 0\] would fit"),
        (accuracy, SCORES, LABELS + 1, ValueError, "labels from 0 to 2"),
        (accuracy, SCORES[:0], LABELS[:0], ValueError, "target is empty"),
        (r2, PREDICTION, TARGET[:, 0], ValueError, r"reshape\(50, 1\)"),
        (mean_absolute_error, PREDICTION[:, 0], TARGET, ValueError, r"reshape\(50\)"),
    ],
)
def test_bad_input(metric, prediction, target, error, says):
    with pytest.raises(error, match=says):
        metric(prediction, target)
