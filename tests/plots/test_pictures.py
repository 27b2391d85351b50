"""Weights, confusion and examples, as pictures."""

import numpy as np

from backhand import plots
from backhand.plots.weights import contact_sheet
from tests.plots.words import count, words

P = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]])
NAMES = ["cat", "dog"]


def test_weights_as_pictures_in_one_scale():
    drawing = plots.weight_pictures(np.eye(9)[:, :5], (3, 3), "units", most=4)
    assert {"units", "weight", "−1", "0.5"} <= words(drawing)
    assert "Weights of 4 of 5 units. units: within ±1.00." in drawing.alt
    lost = plots.weight_pictures(np.full((9, 2), np.nan), (3, 3), "diverged")
    assert "2 of 2 units" in lost.alt


def test_a_contact_sheet_has_a_gap_between_pictures():
    sheet = contact_sheet(np.arange(3)[:, None, None] * np.ones((2, 2)), columns=2)
    assert sheet.shape == (5, 5)
    assert sheet[0, 0] == 0
    assert sheet[1, 3] == 1
    assert sheet[4, 1] == 2
    assert np.isnan(sheet[2]).all()
    assert np.isnan(sheet[3:, 3:]).all()


def test_confusion_counts():
    true, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    drawing = plots.confusion(true, predicted, NAMES, "test")
    assert {"cat", "dog", "predicted", "true", "1"} <= words(drawing)
    assert "1 of 3 wrong, most often cat as dog." in drawing.alt
    assert "0 of 3 wrong." in plots.confusion(true, true, NAMES, "").alt


def test_examples_with_captions():
    drawing = plots.examples(np.ones((3, 4, 4)), ["a", "b", "c"], "some")
    assert {"some", "a", "b", "c"} <= words(drawing)
    assert count(drawing, "image") == 3


def test_mistakes_are_those_made_surest_first():
    pictures = np.ones((4, 8, 8))
    drawing = plots.mistakes(pictures, np.array([0, 0, 0, 1]), P, NAMES)
    assert "cat as dog, 80%; cat as dog, 70%." in drawing.alt
    assert plots.mistakes(pictures, P.argmax(1), P, NAMES) is None
