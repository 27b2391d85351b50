import xml.etree.ElementTree as ET

import numpy as np
import pytest

from backhand import plots

DRAWINGS = {
    "curves": lambda: plots.curves(
        {"train": [1.0, 0.5], "validation": [1.2, 0.75]}, "loss", "nats", log=True
    ),
    "zeros on a log axis": lambda: plots.curves({"drift": [0.0, 0.0]}, "drift", "difference", log=True),
    "nan": lambda: plots.curves({"train": [1.0, float("nan")]}, "loss", "nats"),
    "weights": lambda: plots.weight_pictures(np.eye(9)[:, :5], (3, 3), "units"),
    "weights that diverged": lambda: plots.weight_pictures(np.full((9, 2), np.nan), (3, 3), "units"),
    "confusion": lambda: plots.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cat", "dog"], "test"),
    "no confusion": lambda: plots.confusion(np.array([0, 1]), np.array([0, 1]), ["cat", "dog"], "test"),
    "examples": lambda: plots.examples(np.ones((5, 8, 8)), [f"{i} as 9, 50%" for i in range(5)], "wrong"),
}

P = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]])


def text(svg):
    return {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", DRAWINGS)
def test_two_themes_the_same_words_the_same_every_time(name):
    drawing = DRAWINGS[name]()
    assert text(drawing.light) == text(drawing.dark)
    assert drawing.light != drawing.dark
    assert drawing == DRAWINGS[name]()
    assert drawing.alt.endswith(".")


def test_axes_and_legend_are_labelled():
    drawing = DRAWINGS["curves"]()
    assert {"loss", "epoch", "nats", "train", "validation"} <= text(drawing.light)
    assert "train 0.5, validation 0.75" in drawing.alt


def test_confusion_counts():
    drawing = DRAWINGS["confusion"]()
    assert {"cat", "dog", "predicted", "true", "1"} <= text(drawing.light)
    assert "1 of 3 wrong; most often 1 × cat as dog" in drawing.alt
    assert "0 of 2 wrong; most often none" in DRAWINGS["no confusion"]().alt


def test_mistakes_are_those_made_surest_first():
    pictures = np.ones((4, 8, 8))
    drawing = plots.mistakes(pictures, np.array([0, 0, 0, 1]), P, ["cat", "dog"])
    assert "cat as dog, 80%; cat as dog, 70%." in drawing.alt
    assert "80%" not in plots.mistakes(pictures, np.array([0, 0, 1, 1]), P, ["cat", "dog"], most=1).alt
    assert plots.mistakes(pictures, P.argmax(1), P, ["cat", "dog"]) is None
