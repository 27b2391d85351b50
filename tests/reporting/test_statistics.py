import numpy as np
import pytest
import scipy.stats

from backhand.reporting.statistics import Estimate, mean, mean_sd, written


def test_mean_and_its_standard_error():
    assert mean([1, 2, 3, 6]) == pytest.approx((3, np.sqrt(14 / 3 / 4), 3))


def test_intervals_are_those_of_student_and_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 5), rng.normal(1, 3, 8)
    oracle = scipy.stats.ttest_1samp(a, 0).confidence_interval()
    assert mean(a).interval == pytest.approx((oracle.low, oracle.high))
    oracle = scipy.stats.ttest_ind(b, a, equal_var=False)
    assert mean(b).less(mean(a)).freedom == pytest.approx(oracle.df)
    ends = oracle.confidence_interval()
    assert mean(b).less(mean(a)).interval == pytest.approx((ends.low, ends.high))


def test_a_number_with_its_sign():
    assert written(-1.234, "+.2f") == "−1.23"
    assert written(12345.6, "+.2f") == "+1.2e+04"


def test_clear_is_an_interval_without_0():
    assert Estimate(-0.21, 0.1).clear
    assert not Estimate(-0.21, 0.1, 3).clear  # few degrees of freedom make it wider
    assert not Estimate(0.19, 0.1).clear
    assert not Estimate(np.nan, np.nan).clear


def test_one_value_or_a_diverged_one_is_never_clear():
    assert np.isnan(mean([3.0]).error)
    for a, b in (([3.0], [5.0]), ([3.0], [1.0, 2.0]), ([np.inf, 1.0], [2.0, 3.0])):
        assert not mean(a).less(mean(b)).clear


def test_values_that_do_not_vary_are_clear():
    same, other = mean([2, 2, 2]), mean([3, 3, 3])
    assert same.interval == (2, 2)
    assert other.less(same).interval == (1, 1)
    assert other.less(same).clear
    assert not same.less(same).clear


@pytest.mark.parametrize(
    ("values", "form", "reads"),
    [
        ([1, 2, 3], ".2f", "2.00 ± 1.00"),
        ([-0.5], ".1f", "−0.5"),
        ([-1e5, -3e5], ".3f", "−2.0e+05 ± 1.4e+05"),
        ([1e5], ".1f", "1.0e+05"),
        ([1e-5, 3e-5], ".2g", "2e−05 ± 1.4e−05"),
        (np.array([1e30, 3e30], np.float32), ".3f", "2.0e+30 ± 1.4e+30"),
        ([1, np.nan], ".2f", "NaN ± NaN"),
        ([1, np.inf], ".2f", "inf ± NaN"),
    ],
)
def test_mean_and_standard_deviation_in_words(values, form, reads):
    assert mean_sd(values, form) == reads
