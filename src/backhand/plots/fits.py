"""Curves fitted to points, over the curve that the points come from."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from backhand.plots.curves import WIDTH, draw_line, spread_of
from backhand.plots.drawing import INK, Drawing, draw_figure, legend_below


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

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        faint, size = (0.35, 7) if len(x) > 50 else (1, 14)
        axes.scatter(x[~far], y[~far], size, INK, alpha=faint, linewidth=0, label="data")
        if far.any():
            axes.scatter(x[far], y[far], 18, INK, marker="x", linewidth=0.9, label="outliers")
        axes.plot(grid, truth, color=INK, linestyle="-", linewidth=0.9, label="true curve")
        for label, fit in fitted.items():
            draw_line(axes, label, grid, fit)
        axes.set(title=title, xlabel="x", ylabel="y")
        axes.set_ylim(seen.min() - room, seen.max() + room)
        legend_below(figure)

    off = off_in_words(truth, {label: spread_of(fit)[0] for label, fit in fitted.items()})
    return draw_figure(paint, f"Points and fits. {title}: {off}.", WIDTH[wide], 3.4)


def off_in_words(truth: np.ndarray, fitted: Mapping[str, np.ndarray]) -> str:
    """How far each fit is off, in words."""
    return "; ".join(
        f"{name} is {np.sqrt(np.mean((y - truth) ** 2)):.2g} off the true values (root mean square)"
        for name, y in fitted.items()
    )
