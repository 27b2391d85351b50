import numpy as np

from backhand import plots
from tests.plots.words import count, words

X = np.linspace(-3, 3, 9)
NAN = np.full(9, np.nan)
OUTLIER = np.arange(9) == 4


def test_fits_over_points_and_the_true_curve():
    fitted = {"squared": X + 0.5, "mean, ± sd": np.stack([X - 0.1, X + 0.1])}
    drawing = plots.fits((X, X), X, X, fitted, "a title", OUTLIER)
    assert {"a title", "data", "outliers", "true curve", *fitted} <= words(drawing)
    assert "root mean square off the truth: squared 0.5, mean, ± sd 0" in drawing.alt


def test_a_fit_that_diverged_hides_nothing():
    far = plots.fits((X, X), X, X, {"lost": 1e9 * X}, "a title")
    assert {"−3", "3", "data"} <= words(far)
    assert "outliers" not in words(far)
    lost = plots.fits((X, X), X, X, {"lost": NAN}, "", wide=True)
    assert "lost nan" in lost.alt


def test_surfaces_beside_the_true_one():
    truth = X[:, None] / 3 + 0 * X
    fitted = {"squared": truth + 0.1, "lost": truth * np.nan}
    points = np.stack([X, -X], 1), X / 3
    drawing = plots.surface_fits(points, X, truth, fitted, "a title", OUTLIER)
    assert {"data; × outliers", "true surface", "squared", "fit − truth", "y"} <= words(drawing)
    assert "squared 0.1" in drawing.alt
    assert "lost nan" in drawing.alt
    assert count(drawing, "image") == 2 * (1 + 2 * 2) + 2  # two signs; the bar


def test_predictions_over_the_truth():
    drawing = plots.predictions(X, -X, "ours", "progression", (-4, 4))
    assert {"predicted progression", "true progression", "prediction = truth"} <= words(drawing)
    assert "9 points, correlation -1.00." in drawing.alt
