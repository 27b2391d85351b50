import numpy as np

from backhand import plots
from backhand.plots import Function
from tests.plots.words import words

X = np.linspace(-1.0, 1.0, 5)
ABSOLUTE = Function(X, np.abs(X), np.sign(X))
LABELS = ("absolute", "e", "L", "slope")


def test_a_function_above_its_slope():
    kink = {"kink": Function(*np.zeros((3, 1)))}
    drawing = plots.value_and_slope(
        {"ours": ABSOLUTE}, *LABELS, rings={"exact": ABSOLUTE}, dots=kink
    )
    assert {*LABELS, "ours", "exact", "kink"} <= words(drawing)
    assert "ours, at -1 → 0 → 1: value 1 → 0 → 1, slope -1 → 0 → 1" in drawing.alt
    assert drawing.alt.endswith("kink: 0 at 0.")


def test_infinities_and_nan_are_gaps():
    broken = Function(X, np.array([np.inf, np.nan, 0, 1, 2]), np.array([np.nan, np.nan, 1, 1, 1]))
    limits = {"value_limits": (-1, 3), "slope_limits": (0, 2)}
    drawing = plots.value_and_slope({"broken": broken}, *LABELS, scale="symlog", **limits)
    assert "value inf → 0 → 2" in drawing.alt
    assert "broken" not in words(drawing)  # alone it needs no legend
