"""Estimates with their intervals, a row each."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from backhand.plots.drawing import INK, SERIES, Drawing, draw_figure, legend_below


def intervals(
    estimates: Mapping[str, tuple[float, float, float]],
    title: str,
    x_label: str,
    marks: tuple[str, Mapping[str, float]],
) -> Drawing:
    """Each estimate (value, low, high) in a row of its own, with its interval from low to high.

    `marks` are what to compare them with: what these are called, and one for each row.
    """
    value, low, high = np.transpose(list(estimates.values()))
    rows = np.arange(len(value))
    name, places = marks

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        reach = (value - low, high - value)
        axes.errorbar(value, rows, xerr=reach, fmt="D", color=SERIES[0], markersize=4.5, capsize=4)
        at = [places[row] for row in estimates]
        axes.scatter(at, rows, 160, INK, marker="|", linewidth=2.5, label=name)
        axes.set_yticks(rows, list(estimates))
        axes.set(title=title, xlabel=x_label, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
        legend_below(figure)

    found = "; ".join(f"{row} {v:.3g}, {a:.3g} to {b:.3g}" for row, (v, a, b) in estimates.items())
    alt = f"Estimates with intervals. {title}, {x_label}: {found}."
    return draw_figure(paint, alt, 6.4, 1.1 + 0.32 * len(rows))
