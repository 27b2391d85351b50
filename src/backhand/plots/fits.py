"""Curves and surfaces fitted to points, with the curve or surface that the points come from."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from backhand.plots.curves import WIDTH, draw_line, spread_of
from backhand.plots.drawing import INK, SERIES, Drawing, Options, draw, draw_figure
from backhand.plots.tints import contours, signed, signed_bar


def fits(
    points: tuple[np.ndarray, np.ndarray], grid: np.ndarray, truth: np.ndarray,
    fitted: Mapping[str, ArrayLike], title: str, outlier: np.ndarray | None = None,
    wide: bool = False,
) -> Drawing:  # fmt: skip
    """Fits over the points (x, y), both (N,), and the true curve.

    `truth` (places,) is the curve's y at the x of the `grid`, and so is a fit's; several fits
    (fits, places) are drawn as their mean ± standard deviation. `outlier` (N,) says which points
    are drawn as outliers. The y axis shows all points and the true curve.
    """
    x, y = points
    far = np.zeros(len(x), bool) if outlier is None else outlier
    seen = np.concatenate([truth, y])
    room = 0.1 * np.ptp(seen)

    def panel(axes: Axes) -> None:
        faint, size = (0.35, 7) if len(x) > 50 else (1, 14)
        axes.scatter(x[~far], y[~far], size, INK, alpha=faint, linewidth=0, label="data")
        if far.any():
            axes.scatter(x[far], y[far], 18, INK, marker="x", linewidth=0.9, label="outliers")
        axes.plot(grid, truth, color=INK, linestyle="-", linewidth=0.9, label="true curve")
        for label, fit in fitted.items():
            draw_line(axes, label, grid, fit)
        axes.set(title=title, xlabel="x", ylabel="y")
        axes.set_ylim(seen.min() - room, seen.max() + room)

    off = off_in_words(truth, {label: spread_of(fit)[0] for label, fit in fitted.items()})
    return draw(panel, f"Points and fits. {title}: {off}.", WIDTH[wide], 3.4)


def surface_fits(
    points: tuple[np.ndarray, np.ndarray], grid: np.ndarray, truth: np.ndarray,
    fitted: Mapping[str, np.ndarray], title: str, outlier: np.ndarray,
) -> Drawing:  # fmt: skip
    """The points (x (N, 2), y (N,)) and the true surface, then a row a fit: the fit and its error.

    `grid` (places,) has the places, equally spaced, of the columns and the rows of `truth` and each
    fit (places, places). All share one scale of colour, with lines every 0.25.
    """
    x, y = points
    limit = float(np.abs(truth).max())
    half = (grid[1] - grid[0]) / 2  # of a cell
    extent = (grid[0] - half, grid[-1] + half) * 2

    small: Options = {"fontsize": 9.5, "weight": "normal"}

    def surface(axes: Axes, name: str, values: np.ndarray, lines: bool = True) -> None:
        signed(axes, values[::-1], limit, extent=extent)
        if lines:
            contours(axes, values, np.arange(-2, 2.1, 0.25).tolist(), 0.5, extent)
        axes.set_title(name, **small)
        axes.set_aspect("equal")

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1 + len(fitted), 2, sharex=True, sharey=True, squeeze=False)
        shades = [to_rgba(SERIES[int(v > 0)], min(abs(v) / limit, 1)) for v in y[~outlier]]
        data, *_ = panels[0]
        data.scatter(*x[~outlier].T, c=shades, s=14, edgecolors=INK, linewidth=0.3)
        data.scatter(*x[outlier].T, color=INK, s=18, marker="x", linewidth=1)
        data.set_title("data; × outliers" if outlier.any() else "data", **small)
        data.set_aspect("equal")
        surface(panels[0, 1], "true surface", truth)
        for row, (label, values) in zip(panels[1:], fitted.items(), strict=True):
            surface(row[0], label, values)
            surface(row[1], "fit − truth", values - truth, lines=False)
        panels[-1, 0].set(xlabel="$x_1$", ylabel="$x_2$")
        signed_bar(list(panels.flat), "y", limit)
        figure.suptitle(title, fontsize=11, fontweight="bold")

    alt = f"Data, true surface and fits in colours. {title}: {off_in_words(truth, fitted)}."
    return draw_figure(paint, alt, height=1.1 + 2.0 * (1 + len(fitted)))


def off_in_words(truth: np.ndarray, fitted: Mapping[str, np.ndarray]) -> str:
    """How far each fit is off, in words."""
    off = {name: np.sqrt(np.mean((y - truth) ** 2)) for name, y in fitted.items()}
    return "root mean square off the truth: " + ", ".join(f"{n} {v:.2g}" for n, v in off.items())
