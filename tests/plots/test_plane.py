import io
import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from backhand import plots
from backhand.plots.plane import _shade

rng = np.random.default_rng(0)


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


PLANES = {
    2: plane(2),
    5: plane(5),
    "odd": plane(3, ["$\\wrong$", "_hidden", "a very long name for a single class"]),
}
VALUES = rng.normal(size=(6, 20, 20))

RECIPES = {
    "two classes": lambda: plots.boundary(slope(2), PLANES[2], "2-1"),
    "five classes": lambda: plots.boundary(slope(5), PLANES[5], "2-5"),
    "diverged": lambda: plots.boundary(np.full((8, 8, 2), np.nan), PLANES[2], "nan"),
    "undecided": lambda: plots.boundary(np.full((8, 8, 2), 0.5), PLANES[2], "half"),
    "names that are no formulas": lambda: plots.boundary(slope(3), PLANES["odd"], "odd"),
    "units": lambda: plots.activations(VALUES, slope(2), PLANES[2], "layer 1"),
    "units that diverged": lambda: plots.activations(VALUES * np.nan, slope(2), PLANES[2], "layer 1"),
}


@cache
def drawing(name):
    return RECIPES[name]()


def text(svg):
    return {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", RECIPES)
def test_two_themes_the_same_words(name):
    light, dark, alt = drawing(name)
    assert text(light) == text(dark)
    assert light != dark
    assert alt.endswith(".")


@pytest.mark.parametrize("name", ["two classes", "units"])
def test_the_same_every_time(name):
    assert RECIPES[name]() == drawing(name)


def test_axes_legend_and_scale_are_labelled():
    words = text(drawing("two classes").light)
    assert {"length (mm)", "mass (g)", "class 0", "class 1", "train", "validation"} <= words
    assert {"probability of class 1", "0.10", "0.25", "0.50", "0.75", "0.90"} <= words
    words = text(drawing("five classes").light)
    assert {"class 4", "probability of the likeliest class"} <= words
    assert {"$\\wrong$", " hidden", "a very long name for a …"} <= text(
        drawing("names that are no formulas").light
    )
    assert {f"unit {i}" for i in range(1, 7)} <= text(drawing("units").light)


def test_a_picture_in_words():
    assert "with 20 train and 10 validation points. 2-1. " in drawing("two classes").alt
    assert "class 0 50%, class 1 50%." in drawing("two classes").alt


def test_a_class_colour_fades_to_paper_as_it_grows_unsure():
    colours, paper = ["#ff0000", "#00ff00", "#0000ff"], "#ffffff"
    p = np.array([[1, 0, 0], [0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [1 / 3] * 3])
    shades = _shade(p, paper, colours)
    distance = abs(shades - np.array(to_rgb(paper))).max(1)
    assert (np.diff(distance) < 0).all()
    assert shades[0].argmax() == shades[1].argmax() == 0
    assert shades[2].argmax() == 1


def test_a_film_has_a_frame_an_epoch_and_holds_the_last():
    frames = [(0, np.full((20, 20, 5), 0.2)), (2, slope(5)), (3, slope(5)[:, ::-1])]
    series = {"train": [1.0, 0.5, 0.01], "validation": [1.0, 0.6, 0.1]}
    curves = {"loss": series, "accuracy": series}
    film = plots.animate(frames, curves, PLANES[5], "2-5 on a slope")
    assert film.light != film.dark
    assert "from epoch 0 to 3" in film.alt
    assert "loss in the end train 0.01, validation 0.1" in film.alt
    for moving, still in ((film.light, film.light_still), (film.dark, film.dark_still)):
        gif = Image.open(io.BytesIO(moving))
        durations, pictures = [], []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
            pictures.append(np.asarray(gif.convert("L"), int))
        assert len(pictures) == 3
        assert durations[-1] >= 2000 > max(durations[:-1])
        for before, after in pairwise(pictures):
            boundary, curves_beside = np.split(before != after, [gif.width * 6 // 10], axis=1)
            assert boundary.any()
            assert curves_beside.any()
        width, height = Image.open(io.BytesIO(still)).size
        assert width / height == pytest.approx(gif.width / gif.height, rel=0.01)


def test_a_film_of_a_net_that_diverged():
    nan = {"train": [float("nan")], "validation": [float("nan")]}
    frames = [(0, slope(2)), (1, np.full((20, 20, 2), np.nan))]
    assert plots.animate(frames, {"loss": nan, "accuracy": nan}, PLANES[2], "nan").light
