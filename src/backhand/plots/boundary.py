"""The plane: which class a net gives each point of it, and how surely.

Probabilities are (rows, columns, classes) over a window of the plane, the first row at its bottom.
A region has its class's colour, the fainter the less sure; points differ by marker, too.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from backhand.plots.drawing import INK, PAPER, SERIES, Drawing, Options, draw
from backhand.plots.tints import Extent, colour_bar, contours, tint

MARKERS = "os^DvPX*"
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)  # probabilities of the second of two classes
MOST_POINTS = {"train": 800, "validation": 200}  # more would hide the plane


class Plane(NamedTuple):
    """A window of the plane, and the points in it.

    Attributes:
      extent: left, right, bottom and top.
      splits: "train" and "validation", each (x (points, 2), y (points,)).
      class_names, axis_names: what labels 0, 1, … and the two coordinates are called.
    """

    extent: Extent
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]]
    class_names: Sequence[str]
    axis_names: Sequence[str]


def boundary(probabilities: np.ndarray, plane: Plane, title: str) -> Drawing:
    """The regions of the classes; of two classes, lines of equal probability, too."""
    classes = len(plane.class_names)

    def panel(axes: Axes) -> None:
        draw_points(axes, plane)
        draw_regions(axes, probabilities, plane)
        draw_boundary(axes, probabilities, plane)
        axes.set_title(title)
        if classes == 2:
            contours(axes, probabilities[:, :, 1], LEVELS, 0.7, plane.extent)
            p, name = np.linspace(0, 1, 201), plain(plane.class_names[1])
            scale = dict(zip(SERIES, strengths(np.stack([1 - p, p], 1)), strict=False))
            colour_bar(axes, f"probability of {name}", (0, *LEVELS, 1), scale)
        else:
            ticks = np.linspace(1 / classes, 1, 5).tolist()
            scale = {INK: _depth(np.linspace(1 / classes, 1, 101), classes)}
            colour_bar(axes, "probability of the likeliest class", ticks, scale)

    likeliest = probabilities.argmax(2)
    shares = [f"{name} {np.mean(likeliest == k):.0%}" for k, name in enumerate(plane.class_names)]
    of = " and ".join(plane.axis_names)
    alt = f"A map of the plane of {of}. {title}. Shares of the window: {', '.join(shares[:8])}."
    return draw(panel, alt, height=4.7)


def strengths(probabilities: np.ndarray) -> list[np.ndarray]:
    """Each class's strength of colour, from probabilities (…, classes): 0 if one is likelier."""
    classes = probabilities.shape[-1]
    p = np.nan_to_num(probabilities, nan=1 / classes)
    depth, likeliest = _depth(p.max(-1), classes), p.argmax(-1)
    return [np.where(likeliest == k, depth, 0) for k in range(classes)]


def _depth(p: np.ndarray, classes: int) -> np.ndarray:
    """From 0 at 1/classes, the least that the likeliest can have, to 0.55, in ten steps."""
    return np.asarray(0.055 * np.ceil(10 * np.clip((p * classes - 1) / (classes - 1), 0, 1)))


def draw_regions(axes: Axes, probabilities: np.ndarray, plane: Plane) -> list[Artist]:
    """The regions of the classes."""
    return [
        tint(axes, strength[::-1], SERIES[k % len(SERIES)], plane.extent)
        for k, strength in enumerate(strengths(probabilities))
        if strength.any()
    ]


def draw_boundary(axes: Axes, probabilities: np.ndarray, plane: Plane) -> list[Artist]:
    """Lines where the likeliest class changes."""
    found = [contours(axes, lead, [0], 2.0, plane.extent) for lead in leads(probabilities)]
    return [line for lines in found for line in lines]


def leads(probabilities: np.ndarray) -> list[np.ndarray]:
    """Each class's probability, less the best of the others': 0 on its boundary.

    Two classes share one boundary, and there is one array.
    """
    classes = probabilities.shape[-1]
    return [
        probabilities[:, :, k] - np.delete(probabilities, k, axis=2).max(2)
        for k in range(1 if classes == 2 else 0, classes)
    ]


def draw_points(axes: Axes, plane: Plane) -> None:
    """The points, in axes that show the window: filled to train, hollow to validate."""
    for split, (x, y) in plane.splits.items():
        x, y = x[: MOST_POINTS[split]], y[: MOST_POINTS[split]]
        for k, name in enumerate(plane.class_names):
            label = plain(name) if split == "train" else None
            look, marker = _look(SERIES[k % len(SERIES)], split), MARKERS[k % len(MARKERS)]
            axes.scatter(*x[y == k].T, label=label, marker=marker, **look)
    for split in plane.splits:  # how its points are drawn, for the legend
        axes.scatter([], [], label=split, marker="o", **_look(INK, split))
    axes.set(xlim=plane.extent[:2], ylim=plane.extent[2:], box_aspect=1)
    axes.set(xlabel=plain(plane.axis_names[0]), ylabel=plain(plane.axis_names[1]))


def _look(colour: str, split: str) -> Options:
    """The look of a split's points."""
    face, edge, width = (colour, PAPER, 0.6) if split == "train" else (PAPER, colour, 1.3)
    return {"facecolor": face, "edgecolor": edge, "linewidth": width, "s": 21, "zorder": 3}


def plain(name: str) -> str:
    """A user's own word, 24 characters at most, as Matplotlib and XML can show it.

    Matplotlib would read $ as the start of a formula and hide a name that starts with _. XML, and
    so SVG, can't have control characters in any form.
    """
    short = name if len(name) <= 24 else name[:23] + "…"
    short = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short)
    return short.replace("$", r"\$").replace("_", " ", 1 if short.startswith("_") else 0)
