"""Curves fitted to points, over the curve that the points come from."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from backhand.plots.curves import WIDTH, Curve, Limits, draw_band
from backhand.plots.drawing import INK, Drawing, draw_figure, legend_below


def fits(
    points: tuple[np.ndarray, np.ndarray], truth: Curve, fitted: Mapping[str, Curve], title: str,
    outlier: np.ndarray | None = None, limits: Limits | None = None, wide: bool = False,
) -> Drawing:  # fmt: skip
    """Fits over the points (x, y), both (N,), and the true curve; a fit with an error is in a band.

    A fit has its values at the x of the true curve. `outlier` (N,) says which points are drawn as
    outliers; `limits` are the y axis's, by default what shows the points and the true curve.
    """
    x, y = points
    far = np.zeros(len(x), bool) if outlier is None else outlier
    seen = np.concatenate([np.asarray(truth.y), y])
    room = 0.1 * np.ptp(seen)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        faint, size = (0.35, 7) if len(x) > 50 else (1, 14)
        axes.scatter(x[~far], y[~far], size, INK, alpha=faint, linewidth=0, label="data")
        if far.any():
            axes.scatter(x[far], y[far], 18, INK, marker="x", linewidth=0.9, label="outliers")
        axes.plot(truth.x, truth.y, color=INK, linestyle="-", linewidth=0.9, label="true curve")
        for label, curve in fitted.items():
            draw_band(axes, label, curve)
        axes.set(title=title, xlabel="x", ylabel="y")
        axes.set_ylim(*(limits or (seen.min() - room, seen.max() + room)))
        legend_below(figure)

    off = off_in_words(np.asarray(truth.y), {name: np.asarray(c.y) for name, c in fitted.items()})
    return draw_figure(paint, f"Points and fits. {title}: {off}.", WIDTH[wide], 3.4)


def off_in_words(truth: np.ndarray, fitted: Mapping[str, np.ndarray]) -> str:
    """How far each fit is off, in words."""
    return "; ".join(
        f"{name} is {np.sqrt(np.mean((y - truth) ** 2)):.2g} off the true values (root mean square)"
        for name, y in fitted.items()
    )
