from backhand import plots
from tests.plots.words import words


def test_an_estimate_a_row_beside_its_mark():
    estimates = {"by hand": (1.01, 0.98, 1.05), "by the library": (1.2, 1.1, 1.4)}
    drawing = plots.intervals(estimates, "time", "ratio", ("bar", dict.fromkeys(estimates, 1.15)))
    assert {"by hand", "by the library", "time", "ratio", "bar"} <= words(drawing)
    assert "by hand 1.01, 0.98 to 1.05; by the library 1.2, 1.1 to 1.4." in drawing.alt
