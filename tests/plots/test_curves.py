import numpy as np

from backhand import plots
from backhand.plots.curves import spread_of
from tests.plots.words import words

SEEDS = np.array([[0.6, 0.5, 0.1], [0.4, 0.1, 0.3]])
NOISE = ("noise", 0.25)


def test_curves_by_epoch():
    series = {"train": [1.0, 0.5, 0.0], "validation": [1.2, np.nan, 0.75]}
    drawing = plots.curves(series, "a title", "nats", log=True)
    assert {"a title", "epoch", "nats", "train", "validation", "1", "2", "3"} <= words(drawing)
    assert "a title, nats by epoch: train from 1 to 0, validation from 1.2 to 0.75." in drawing.alt


def test_curves_of_several_seeds_with_a_level_and_a_mark():
    lost = np.array([[np.nan, -0.1, 0.0], [np.inf, 0.1, 0.0]])  # diverged, or below 0
    mark = ("lowest", 2.0, 20.0)
    drawing = plots.curves(
        {"train": SEEDS, "lost": lost}, "a title", "loss", None, NOISE, mark, log=True, wide=True
    )
    assert {"epoch", "loss", "train", "lost", "noise", "lowest", "1", "3"} <= words(drawing)
    assert "20" not in words(drawing)  # the mark does not make the axis longer
    assert "train from 0.5 to 0.2" in drawing.alt


def test_error_bars_over_ticks_that_are_the_numbers():
    over = ("width", [2, 8, 1000])
    series = {"a": SEEDS, "b": [[-0.1, np.nan], [0.1, 1.0]]}
    drawing = plots.curves(series, "t", "loss", over, NOISE, log=True)
    assert {"width", "2", "8", "1,000", "0.2", "0.5", "noise"} <= words(drawing)
    assert "loss by width: a from 0.5 to 0.2, b from 0 to nan." in drawing.alt
    nothing = plots.curves({"b": [np.nan]}, "t", "loss", over, log=True)
    assert "b from nan to nan" in nothing.alt


def test_mean_and_standard_deviation():
    mean, sd = spread_of(SEEDS)
    np.testing.assert_allclose(mean, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(sd, np.array([0.2, 0.4, 0.2]) / np.sqrt(2))
    for once in ([1.0, 2.0], [[1.0, 2.0]]):
        np.testing.assert_array_equal(spread_of(once), [[1, 2], [0, 0]])
    mean, sd = spread_of(np.array([[1, np.inf], [2, 1]], np.float32))
    assert mean.tolist() == [1.5, np.inf]
    assert np.isnan(sd[1])
