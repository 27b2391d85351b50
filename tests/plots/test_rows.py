from backhand import plots
from tests.plots.words import words


def test_rows_of_dots_with_marks_to_compare_with():
    groups = {"ours": [1.0, 3.0], "theirs": [2.0, 2.5], "once": [1.0]}
    drawing = plots.dots(groups, "error", "%", (0, 5), ("published", {"theirs": 4.7}))
    assert {"ours", "theirs", "once", "error", "%", "published", "5"} <= words(drawing)
    assert drawing.alt == "error, %: ours 2; theirs 2.25; once 1. Beside it, published: theirs 4.7."


def test_a_logarithmic_axis():
    drawing = plots.dots({"ours": [0.03, 0.4]}, "", "", (0.02, 0.5), log=True)
    assert {"0.05", "0.1", "0.2", "0.5"} <= words(drawing)


def test_a_logarithmic_axis_has_no_bar_down_to_nothing():
    drawing = plots.dots({"ours": [1e-6, 1e-6, 1e-6, 0.5]}, "", "", log=True)
    ticks = {word for word in words(drawing) if word.startswith(("0", "1"))}
    assert len(ticks) <= 8  # none far below the dots
    assert "ours 2.66e-05." in drawing.alt  # the mean that is drawn


def test_an_estimate_a_row_beside_its_mark():
    estimates = {"by hand": (1.01, 0.98, 1.05), "by the library": (1.2, 1.1, 1.4)}
    drawing = plots.intervals(estimates, "time", "ratio", ("bar", dict.fromkeys(estimates, 1.15)))
    assert {"by hand", "by the library", "time", "ratio", "bar"} <= words(drawing)
    assert "by hand 1.01 [0.98, 1.05]; by the library 1.2 [1.1, 1.4]." in drawing.alt
