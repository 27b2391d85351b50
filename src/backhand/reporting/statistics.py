"""Means of independent values, and how sure they are."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


class Estimate(NamedTuple):
    """A number, its standard error, and the degrees of freedom that it was estimated with."""

    value: float
    error: float
    freedom: float = math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval by Student's t; NaN if there was one value only."""
        reach = float(stdtrit(self.freedom, 0.975)) * self.error
        return self.value - reach, self.value + reach

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0

    def less(self, other: "Estimate") -> "Estimate":
        """The difference of two independent estimates, with the freedom that Welch (1947) found."""
        error = math.hypot(self.error, other.error)
        share = sum((part.error / (error or 1)) ** 4 / part.freedom for part in (self, other))
        return Estimate(self.value - other.value, error, 1 / share if share else math.inf)


def mean(values: ArrayLike) -> Estimate:
    """The mean of independent values and its standard error sd/√n, NaN for one value alone."""
    values = np.asarray(values, np.float64)
    freedom = values.size - 1
    with np.errstate(invalid="ignore"):  # an infinite value has no spread
        error = values.std(ddof=1) / math.sqrt(values.size) if freedom else math.nan
    return Estimate(float(values.mean()), float(error), freedom or math.nan)


def written(value: float, form: str) -> str:
    """A number in a format such as ".2f", with a true minus sign; a large one as 1.2e+05."""
    if form.endswith("f") and not abs(value) < 1e4:
        form = f"{'+' * form.startswith('+')}.1e"
    return f"{value:{form}}".replace("-", "−").replace("+nan", "nan").replace("nan", "NaN")


def mean_sd(values: ArrayLike, form: str) -> str:
    """Mean ± standard deviation in one format, ".3f" say; of one value, the value alone."""
    values = np.asarray(values, np.float64)  # in which the square of a float32 is a number, too
    if form.endswith("f") and not abs(values.mean()) < 1e4:
        form = ".1e"  # of both
    with np.errstate(invalid="ignore"):
        spread = f" ± {written(values.std(ddof=1), form)}" if values.size > 1 else ""
    return written(values.mean(), form) + spread
