"""Surfaces fitted to points, beside the surface that the points come from."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from backhand.plots.drawing import INK, SERIES, Drawing, draw_figure
from backhand.plots.fits import off_in_words
from backhand.plots.tints import Extent, contours, signed, signed_bar, tint


def surface_fits(
    data: tuple[np.ndarray, np.ndarray], outlier: np.ndarray, grid: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray, fitted: Mapping[str, np.ndarray], title: str,
) -> Drawing:  # fmt: skip
    """The data (x (N, 2), y (N,)) and the true surface, then a row a fit: the fit and its error.

    `grid` has the places, equally spaced, of the grid's columns and rows; `truth` and each fit have
    their values (rows, columns) there. All share one scale of colour, with lines every 0.25.
    """
    x, y = data
    limit = float(np.abs(truth).max())
    halves = [(places[1] - places[0]) / 2 for places in grid]  # of a cell
    ends = [
        (places[0] - half, places[-1] + half) for places, half in zip(grid, halves, strict=True)
    ]
    extent: Extent = (*ends[0], *ends[1])

    def panel(axes: Axes, name: str) -> None:
        axes.set_title(name, fontsize=9.5, weight="normal")
        axes.set_aspect("equal")

    def surface(axes: Axes, name: str, values: np.ndarray, lines: bool = True) -> None:
        for colour, strength in signed(values[::-1], limit).items():
            tint(axes, strength, colour, extent)
        if lines:
            contours(axes, values, np.arange(-2, 2.1, 0.25).tolist(), 0.5, extent)
        panel(axes, name)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1 + len(fitted), 2, sharex=True, sharey=True, squeeze=False)
        shades = [to_rgba(SERIES[int(v > 0)], min(abs(v) / limit, 1)) for v in y[~outlier]]
        points, *_ = panels[0]
        points.scatter(*x[~outlier].T, c=shades, s=14, edgecolors=INK, linewidth=0.3)
        points.scatter(*x[outlier].T, color=INK, s=18, marker="x", linewidth=1)
        panel(points, "data; × outliers" if outlier.any() else "data")
        surface(panels[0, 1], "true surface", truth)
        for row, (label, values) in zip(panels[1:], fitted.items(), strict=True):
            surface(row[0], label, values)
            surface(row[1], "fit − truth", values - truth, lines=False)
        for below, beside in zip(panels[-1], panels[:, 0], strict=False):
            below.set_xlabel("$x_1$")
            beside.set_ylabel("$x_2$")
        signed_bar(list(panels.flat), "y", limit)
        figure.suptitle(title, fontsize=11, fontweight="bold")

    alt = f"Data, true surface and fits in colours. {title}: {off_in_words(truth, fitted)}."
    return draw_figure(paint, alt, height=1.1 + 2.0 * (1 + len(fitted)))
