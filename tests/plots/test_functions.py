import numpy as np

from backhand import plots
from backhand.plots import Function
from tests.plots.test_plots import text

X = np.linspace(-1.0, 1.0, 5)
ABSOLUTE = Function(X, np.abs(X), np.sign(X))


def drawing(**more):
    at_zero = Function(np.zeros(1), np.zeros(1), np.zeros(1))
    return plots.value_and_slope(
        {"ours": ABSOLUTE}, "absolute", "e", "L", "slope", dots={"kink": at_zero}, **more
    )


def test_two_themes_the_same_words_the_same_every_time():
    d = drawing(rings={"exact": ABSOLUTE})
    assert text(d.light) == text(d.dark) >= {"absolute", "e", "L", "slope", "ours", "exact", "kink"}
    assert d.light != d.dark
    assert d == drawing(rings={"exact": ABSOLUTE})


def test_the_alternative_has_the_numbers():
    alt = drawing().alt
    assert "ours, at -1 → 0 → 1: value 1 → 0 → 1, slope -1 → 0 → 1" in alt
    assert "kink: 0 at 0." in alt


def test_infinities_and_nan_are_gaps():
    broken = Function(X, np.array([np.inf, np.nan, 0, 1, 2]), np.array([np.nan, np.nan, 1, 1, 1]))
    d = plots.value_and_slope({"broken": broken}, "broken", "z", "L", "slope", scale="symlog")
    assert "value inf → 0 → 2" in d.alt
