"""What repeating an experiment on samples drawn anew tells: a mean and how sure it is, bias and variance."""

from typing import Any, NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}".replace("-", "−")

    @property
    def clear(self) -> bool:
        """Whether it is further from 0 than two standard errors."""
        return abs(self.value) > 2 * self.error

    def less(self, other: "Estimate") -> "Estimate":
        """The difference, as if the two were independent."""
        return Estimate(self.value - other.value, float(np.hypot(self.error, other.error)))


def mean(values: Any) -> Estimate:
    """The mean of independent values, and its standard error, sd/√n."""
    values = np.asarray(values, np.float64)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def mean_sd(values: Any, form: str) -> str:
    """Mean ± standard deviation of a sample, both in one format, ".3f" say; of one value, the value.

    The mean of a `form` that starts with "+" has its sign. What ".3f" and the like would write with more than
    four digits before the point is in powers of ten.
    """
    values = np.asarray(values, np.float64)  # in which the square of a float32 is a number, too
    if form.endswith("f") and not abs(values.mean()) < 1e4:
        form = ("+" if form.startswith("+") else "") + ".1e"
    with np.errstate(invalid="ignore"):  # about an infinite mean nothing is spread
        spread = f" ± {values.std(ddof=1):{form.removeprefix('+')}}" if len(values) > 1 else ""
    return f"{values.mean():{form}}{spread}".replace("-", "−").replace("+nan", "nan").replace("nan", "NaN")


def less(a: Any, b: Any) -> Estimate:
    """The mean of paired differences a − b."""
    return mean(np.subtract(a, b))


def decompose(predictions: np.ndarray, target: np.ndarray) -> tuple[Estimate, Estimate]:
    """Bias² and variance of predictions (samples, points), each row from a sample of its own, of target (points,).

    The squared error expected of a net trained on a sample splits in three (Geman, Bienenstock and Doursat, 1992):

        E (ŷ − y)² = (E ŷ − f)² + Var ŷ + σ²        bias² + variance + noise

    Both terms are means over the points, and unbiased: Var ŷ is divided by samples − 1, and as the mean of S
    predictions strays from E ŷ with variance Var ŷ/S, that is taken off bias², which can make a small one
    negative. Their standard errors are the jackknife's (Efron and Tibshirani, 1993, §11): of what comes out as
    each sample in turn is left out. It takes three samples at least.
    """

    def terms(kept: np.ndarray) -> Any:  # (…, samples, points)
        variance = kept.var(-2, ddof=1).mean(-1)
        return ((kept.mean(-2) - target) ** 2).mean(-1) - variance / kept.shape[-2], variance

    predictions, target = predictions.astype(np.float64), target.astype(np.float64)
    count = len(predictions)
    left_out = np.stack([predictions[others] for others in ~np.eye(count, dtype=bool)])
    bias, variance = (
        Estimate(float(value), float(np.sqrt(count - 1) * values.std()))
        for value, values in zip(terms(predictions), terms(left_out), strict=True)
    )
    return bias, variance
