import numpy as np
import pytest

from backhand.reporting.statistics import Estimate, decompose, less, mean, mean_sd


def test_mean_and_its_standard_error():
    assert mean([1, 2, 3, 6]) == pytest.approx((3, np.sqrt(14 / 3 / 4)))
    assert less([2, 4, 6], [1, 3, 5]) == (1, 0)  # pairs, whose differences do not vary
    assert Estimate(0.5, 0.3).less(Estimate(1.5, 0.4)) == pytest.approx((-1, 0.5))
    assert str(Estimate(0.12345, 0.0678)) == "0.123 ± 0.068"


@pytest.mark.parametrize(
    ("values", "form", "reads"),
    [
        ([1, 2, 3], ".2f", "2.00 ± 1.00"),
        ([-0.5], ".1f", "−0.5"),
        ([2, 4], "+.1f", "+3.0 ± 1.4"),
        ([-1e5, -3e5], ".3f", "−2.0e+05 ± 1.4e+05"),
        ([1e5], "+.1f", "+1.0e+05"),
        ([1e-5, 3e-5], ".2g", "2e−05 ± 1.4e−05"),
        (np.array([1e30, 3e30], np.float32), ".3f", "2.0e+30 ± 1.4e+30"),
        ([1, np.nan], "+.2f", "NaN ± NaN"),
        ([1, np.inf], ".2f", "inf ± NaN"),
    ],
)
def test_mean_and_standard_deviation_in_words(values, form, reads):
    assert mean_sd(values, form) == reads


def test_clear_is_two_standard_errors_from_0():
    assert str(Estimate(-0.21, 0.1)) == "−0.210 ± 0.100"
    assert Estimate(-0.21, 0.1).clear
    assert not Estimate(0.19, 0.1).clear
    assert not Estimate(np.nan, np.nan).clear


def test_decomposition_by_hand():
    """Three constants 1, 2, 6 as predictions of 1: mean 3, variance 7, and ((3 − 1)² − 7/3) of bias²."""
    predictions = np.repeat([[1.0], [2.0], [6.0]], 5, axis=1)
    bias, variance = decompose(predictions, np.ones(5))
    assert (bias.value, variance.value) == pytest.approx((4 - 7 / 3, 7))
    # Leaving out 1, 2, 6 leaves variances 8, 12.5, 0.5: the jackknife's error is √(2/3 Σ (v − 7)²).
    assert variance.error == pytest.approx(np.sqrt(2 / 3 * (1 + 5.5**2 + 6.5**2)))


def test_the_two_terms_are_the_error_against_the_truth():
    rng = np.random.default_rng(0)
    predictions, truth = rng.normal(size=(6, 50)), rng.normal(size=50)
    bias, variance = decompose(predictions, truth)
    assert bias.value + variance.value == pytest.approx(((predictions - truth) ** 2).mean())


def test_unbiased_and_as_sure_as_they_say():
    """Predictions N(0.3, 1) of 0 have bias² 0.09 and variance 1; the errors say how far estimates scatter."""
    rng = np.random.default_rng(0)
    found = np.array([decompose(rng.normal(0.3, 1, (8, 20)), np.zeros(20)) for _ in range(1000)])
    off = found[:, :, 0].mean(0) - (0.09, 1)
    assert (abs(off) < 4 * found[:, :, 0].std(0) / np.sqrt(1000)).all()
    np.testing.assert_allclose(found[:, :, 1].mean(0), found[:, :, 0].std(0), rtol=0.3)
