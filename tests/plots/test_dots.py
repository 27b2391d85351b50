from backhand import plots
from tests.plots.words import words


def test_rows_of_dots_with_marks_to_compare_with():
    groups = {"ours": [1.0, 3.0], "theirs": [2.0, 2.5], "once": [1.0]}
    drawing = plots.dots(groups, "error", "%", (0, 5), ("published", {"theirs": 4.7}))
    assert {"ours", "theirs", "once", "error", "%", "published", "5"} <= words(drawing)
    assert "ours 2 ± 1.4; theirs 2.25 ± 0.35, published 4.7; once 1." in drawing.alt


def test_a_logarithmic_axis():
    drawing = plots.dots({"ours": [0.03, 0.4]}, "", "", (0.02, 0.5), log=True)
    assert {"0.05", "0.1", "0.2", "0.5"} <= words(drawing)
