"""The plane: boundaries, activations, and the film of training."""

import re

import numpy as np
import pytest

from backhand import plots
from backhand.plots.boundary import strengths
from tests.plots.words import count, words

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(6, 20, 20))


def plane(classes=2, names=None):
    splits = {
        name: (rng.normal(size=(n, 2)), np.arange(n) % classes)
        for name, n in {"train": 20, "validation": 10}.items()
    }
    names = names or [f"class {k}" for k in range(classes)]
    return plots.Plane((-2.0, 2.0, -1.0, 3.0), splits, names, ("length (mm)", "mass (g)"))


def slope(classes, cells=20):
    """Probabilities that change from left to right, from the first class to the last."""
    logits = -((np.linspace(0, classes - 1, cells)[:, None] - np.arange(classes)) ** 2) * 4
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.broadcast_to(p, (cells, cells, classes))


def test_two_classes():
    drawing = plots.boundary(slope(2), plane(), "2-1")
    seen = words(drawing)
    assert {"length (mm)", "mass (g)", "class 0", "class 1", "train", "validation", "2-1"} <= seen
    assert {"probability of class 1", "0.1", "0.25", "0.5", "0.75", "0.9"} <= seen
    assert "the plane of length (mm) and mass (g). 2-1. " in drawing.alt
    assert drawing.alt.endswith("class 0 50%, class 1 50%.")
    assert count(drawing, "image") == 4  # two regions, and their two colours in the bar


def test_many_classes_with_names_that_are_no_formulas():
    names = ["$\\wrong$", "_hidden", "a very long name for a single class", *"abcdef"]
    drawing = plots.boundary(slope(9), plane(9, names), "2-9")
    assert {"$\\wrong$", " hidden", "a very long name for a …"} <= words(drawing)
    assert "probability of the likeliest class" in words(drawing)
    assert drawing.alt.count("%") == 8  # are enough


@pytest.mark.parametrize("p", [np.nan, 0.5])
def test_a_net_that_knows_nothing_has_no_regions(p):
    drawing = plots.boundary(np.full((8, 8, 2), p), plane(), "lost")
    assert count(drawing, "image") == 2  # the bar's


def test_a_class_colour_fades_as_it_grows_unsure():
    p = np.array([[1, 0, 0], [0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [1 / 3] * 3, [np.nan] * 3])
    first, second, third = strengths(p)
    assert first[0] > first[1] > second[2] > 0
    assert [np.count_nonzero(s) for s in (first, second, third)] == [2, 1, 0]
    assert max(first) == pytest.approx(0.55)


def test_a_map_for_each_unit():
    drawing = plots.activations(VALUES, slope(2), plane(), "layer 1")
    assert {f"unit {i}" for i in range(1, 7)} <= words(drawing)
    assert {"layer 1", "length (mm)", "activation; line: the boundary"} <= words(drawing)
    lost = plots.activations(VALUES * np.nan, slope(2), plane(), "layer 1")
    assert "95 % of activations within ±1." in lost.alt


def test_a_film_shows_each_frame_in_its_turn_and_the_last_for_longer():
    frames = [(0, np.full((20, 20, 5), 0.2)), (2, slope(5)), (3, slope(5)[:, ::-1])]
    series = {"train": [1.0, 0.5, 0.01], "validation": [1.0, 0.6, 0.1]}
    film = plots.animate(frames, {"loss": series, "accuracy": series}, plane(5), "2-5 $ on a slope")
    assert {f"epoch {epoch} of 3" for epoch in (0, 2, 3)} | {"2-5 $ on a slope"} <= words(film)
    assert "from epoch 0 to 3" in film.alt
    assert "Accuracy at last: train 0.01, validation 0.1." in film.alt
    shown = re.findall(r'class="(?:tint \w+ )?frame frame-(\d)"', film.svg)
    # A frame has two lines at the epoch and its words; regions and boundaries, unless it has none.
    assert [shown.count(number) for number in "012"] == [3, 3 + 5 + 5, 3 + 5 + 5]
    for css in (
        ".frame { visibility: hidden; animation: frame 3.24s step-end infinite }",
        ".frame-2 { visibility: visible; animation-name: last }",
        ".frame-1{animation-delay:-3.12s}",
        "@media (prefers-reduced-motion: reduce) { .frame { animation: none } }",
    ):
        assert css in film.svg
    assert not re.findall(r'id="frame', film.svg)
    # Readers who ask for less motion get the last frame alone.
    seen = words(film._replace(svg=film.still))
    assert "epoch 3 of 3" in seen
    assert not {"epoch 0 of 3", "epoch 2 of 3"} & seen
    assert count(film._replace(svg=film.still), "image") == 5
    assert '<picture><source media="(prefers-reduced-motion: reduce)"' in film.html()


def test_a_film_of_a_net_that_diverged():
    nan = {"train": [float("nan")], "validation": [float("nan")]}
    frames = [(0, slope(2)), (1, np.full((20, 20, 2), np.nan))]
    assert "epoch 1 of 1" in words(
        plots.animate(frames, {"loss": nan, "accuracy": nan}, plane(), "")
    )
