import numpy as np
import pytest

from backhand import plots
from backhand.plots import Curve
from tests.plots.words import words

CURVE = Curve([2, 8, 32], [0.5, 0.25, 0.125], [0.1, 0.3, 0.01])
LOST = Curve([2, 8, 32], [np.nan, -0.1, 0.0], [np.nan, 0.1, 0.1])  # diverged, or below 0
NOISE = ("noise", 0.25)


def test_curves_by_epoch():
    series = {"train": [1.0, 0.5, 0.0], "validation": [1.2, np.nan, 0.75]}
    drawing = plots.curves(series, "a title", "nats", log=True)
    assert {"a title", "epoch", "nats", "train", "validation", "1", "2", "3"} <= words(drawing)
    assert "a title, nats by epoch: train from 1 to 0, validation from 1.2 to 0.75." in drawing.alt


def test_bands():
    mark = ("lowest", 8.0, 20.0)
    lost = LOST._replace(x=[2.5, 8, 32])
    drawing = plots.bands({"train": CURVE, "lost": lost}, "a title", "step", "loss", NOISE, mark)
    assert {"step", "loss", "train", "lost", "noise", "lowest"} <= words(drawing)
    assert "train from 0.5 ± 0.1 to 0.125 ± 0.01" in drawing.alt
    assert drawing.alt.endswith("lowest: 8 ± 20.")


def test_error_bars_over_ticks_that_are_the_values():
    drawing = plots.with_errors({"a": CURVE, "b": LOST}, "t", "width", "loss", NOISE, log=True)
    assert {"width", "2", "8", "32", "0.2", "0.5", "noise"} <= words(drawing)
    nothing = plots.with_errors({"b": LOST}, "t", "width", "loss", log=True)
    assert "b from nan" in nothing.alt


def test_an_x_that_is_not_logarithmic_shows_all_its_ticks():
    series = {"a": Curve(range(1, 11), [0.5] * 10, [0.1] * 10)}
    seen = [
        words(plots.with_errors(series, "", "layers", "", log_x=log_x)) for log_x in (True, False)
    ]
    assert [{str(tick) for tick in range(1, 11)} <= found for found in seen] == [False, True]


@pytest.mark.parametrize("draw", [plots.bands, plots.with_errors])
def test_drawings_with_limits_share_an_axis(draw):
    """The ticks of a curve near 0 are those of one near 100."""
    series = {"a": Curve([1, 2], [0.0, 1.0])}, {"a": Curve([1, 2], [90.0, 100.0])}
    limits = plots.shared_limits(*series)
    seen = [words(draw(one, "", "", "", limits=limits, wide=True)) for one in series]
    assert {"0", "20", "100"} <= seen[0] == seen[1]


def test_shared_limits_show_every_finite_value_and_its_error():
    assert plots.shared_limits({"a": CURVE}, {"b": Curve([0], [2.0])}) == pytest.approx(
        (-0.05 - 0.1025, 2 + 0.1025)
    )
    assert plots.shared_limits({"a": CURVE, "b": LOST}, log=True) == (0.125 / 1.6, 0.5 * 1.6)
    assert plots.shared_limits({"b": Curve([0], [np.nan])}, log=True) == (0.1 / 1.6, 1.6)
    assert plots.shared_limits({"a": Curve([0], [3.0])}) == (2.5, 3.5)
