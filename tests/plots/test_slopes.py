import numpy as np

from backhand import plots
from backhand.plots import Function
from tests.plots.words import words

X = np.linspace(-1.0, 1.0, 5)
ABSOLUTE = Function(X, np.abs(X), np.sign(X))
LABELS = ("e", "L", "slope")


def test_a_function_above_its_slope():
    kink = {"kink": Function(*np.zeros((3, 1)))}
    drawing = plots.value_and_slope(
        {"ours": ABSOLUTE}, {"exact": ABSOLUTE}, kink, "absolute", LABELS
    )
    assert {*LABELS, "absolute", "ours", "exact", "kink"} <= words(drawing)
    assert drawing.alt.endswith("absolute: L above, ours from 1 to 1; slope below.")


def test_drawings_of_a_group_share_their_axes():
    """The ticks of a function near 0 are those of one near 100."""
    far = Function(X, ABSOLUTE.value + 99, ABSOLUTE.slope)
    group = (ABSOLUTE, far)
    seen = [words(plots.value_and_slope({"": line}, {}, {}, "", LABELS, group)) for line in group]
    assert {"0", "20", "100"} <= seen[0] == seen[1]


def test_infinities_and_nan_are_gaps():
    broken = Function(X, np.array([np.inf, np.nan, 0, 1, 2]), np.array([np.nan, np.nan, 1, 1, 1]))
    drawing = plots.value_and_slope({"broken": broken}, {}, {}, "", LABELS, [broken], symlog=True)
    assert "from inf to 2" in drawing.alt
    assert "broken" not in words(drawing)  # alone it needs no legend
