import xml.etree.ElementTree as ET

import numpy as np
import pytest

from backhand import plots

CURVE = plots.Curve([2, 8, 32], [0.5, 0.25, 0.125], [0.1, 0.3, 0.01])
LOST = plots.Curve([2, 8, 32], [np.nan, -0.1, 0.0], [np.nan, 0.1, 0.1])  # diverged, or estimated below 0
X = np.linspace(0, 1, 9)


def with_errors(log=True, **series):
    return plots.with_errors(series, "a title", "width", "loss", ("noise", 0.25), log)


def bands(log=True, **series):
    return plots.bands(series, "a title", "epoch", "loss", ("noise", 0.25), ("lowest", 8.0, 20.0), log)


DRAWINGS = {
    "errors": lambda: with_errors(train=CURVE, validation=LOST),
    "errors, not log": lambda: with_errors(log=False, train=CURVE, validation=LOST),
    "nothing on a log axis": lambda: with_errors(train=LOST),
    "bands": lambda: bands(train=CURVE, validation=LOST),
    "bands, not log": lambda: bands(log=False, train=CURVE),
    "errors by depth": lambda: plots.with_errors({"train": CURVE}, "a title", "layers", "loss", log_x=False),
    "nothing, and no level": lambda: plots.with_errors({"train": LOST}, "a title", "width", "loss", log=True),
    "bands alone": lambda: plots.bands({"train": CURVE}, "a title", "epoch", "loss"),
    "fits": lambda: plots.fits(X, X, np.stack([X, X + 1, X + 2]), (X[:2], X[:2]), "a title"),
}


def text(svg):
    return {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", DRAWINGS)
def test_two_themes_the_same_words_the_same_every_time(name):
    drawing = DRAWINGS[name]()
    assert text(drawing.light) == text(drawing.dark)
    assert drawing.light != drawing.dark
    assert drawing == DRAWINGS[name]()
    assert "a title" in text(drawing.light)
    assert drawing.alt.endswith(".")


def test_axes_legend_and_ticks_are_labelled():
    words = text(with_errors(train=CURVE).light)
    assert {"width", "loss", "train", "noise", "2", "8", "32", "0.2", "0.5"} <= words
    assert {"epoch", "loss", "train", "noise", "lowest"} <= text(bands(train=CURVE).light)
    assert {"true curve", "one fit", "mean of all fits", "its training points"} <= text(
        DRAWINGS["fits"]().light
    )


def test_an_x_that_is_not_logarithmic_shows_all_its_ticks():
    curve = plots.Curve([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0.5] * 10, [0.1] * 10)
    words = [
        text(plots.with_errors({"a": curve}, "", "layers", "", log_x=log_x).light) for log_x in (True, False)
    ]
    assert [{str(tick) for tick in range(1, 11)} <= seen for seen in words] == [False, True]


def test_alt_says_the_numbers():
    assert "train from 0.5 ± 0.1 to 0.125 ± 0.01" in with_errors(train=CURVE).alt
    assert "lowest: 8 ± 20" in bands(train=CURVE).alt
    assert DRAWINGS["bands alone"]().alt.endswith("to 0.125 ± 0.01.")
    assert "3 nets" in DRAWINGS["fits"]().alt
    assert "within 1 of the true curve and spread by an sd of 1." in DRAWINGS["fits"]().alt
