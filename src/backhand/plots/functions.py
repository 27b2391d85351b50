"""Functions of one number, their slopes under them."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backhand.plots.drawing import Drawing, draw_figure


class Function(NamedTuple):
    """A function at some places x, in order: its value and its slope there, NaN where it has none."""

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def value_and_slope(
    lines: Mapping[str, Function],
    title: str,
    x_label: str,
    value_label: str,
    slope_label: str,
    *,
    rings: Mapping[str, Function] | None = None,
    dots: Mapping[str, Function] | None = None,
    value_limits: tuple[float, float] | None = None,
    slope_limits: tuple[float, float] | None = None,
    scale: Literal["linear", "symlog"] = "linear",
) -> Drawing:
    """Functions by name, above; their slopes, on the same x axis, below.

    `rings` are points to compare a line with; `dots` are kinks and jumps, at which lines are interrupted, so
    that what holds there and what holds beside it can be seen apart. `scale` is that of x and of the values.
    """
    rings, dots = rings or {}, dots or {}
    breaks = np.concatenate([np.empty(0), *(dot.x for dot in dots.values())])

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, sharex=True)
        for axes, field in ((above, "value"), (below, "slope")):
            for label, line in lines.items():
                y = np.where(np.isfinite(getattr(line, field)), getattr(line, field), np.nan)
                y = np.where(np.isin(line.x, breaks), np.nan, y)
                axes.plot(line.x, y, label=label)
            _points(axes, rings, field, marker="o", markersize=5, markerfacecolor="none", zorder=3)
            _points(axes, dots, field, marker="D", markersize=5, zorder=4)
            axes.grid(alpha=0.25, linewidth=0.6)
        above.set(title=title, ylabel=value_label)
        below.set(xlabel=x_label, ylabel=slope_label)
        if scale == "symlog":
            above.set_xscale("symlog", linthresh=1)
            above.set_yscale("symlog", linthresh=1)
            ticks = [sign * 10.0**power for power in (4, 2, 0) for sign in (-1, 1)]
            above.set_xticks([0, *ticks], minor=False)
        if value_limits is not None:
            above.set_ylim(*value_limits)
        if slope_limits is not None:
            below.set_ylim(*slope_limits)
        figure.align_ylabels()
        if len(lines) + len(rings) + len(dots) > 1:
            handles, labels = below.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)

    named = {**lines, **rings}
    words = "; ".join(f"{label}, {_in_words(line)}" for label, line in named.items())
    jumps = "".join(
        f" {label}: {', '.join(f'{y:.3g} at {x:.3g}' for x, y in zip(dot.x, dot.slope, strict=True))}."
        for label, dot in dots.items()
    )
    alt = f"Two panels. {title}: {value_label} above, {slope_label} below, over {x_label}. {words}.{jumps}"
    return draw_figure(paint, alt, 4.4, 5.0)


def _points(axes: Axes, points: Mapping[str, Function], field: str, **look: Any) -> None:
    for label, at in points.items():
        axes.plot(
            at.x, getattr(at, field), linestyle="none", color=mpl.rcParams["text.color"], label=label, **look
        )


def _in_words(line: Function) -> str:
    """Value and slope at both ends and in the middle."""
    places = [0, len(line.x) // 2, len(line.x) - 1]
    value, slope = (" → ".join(f"{a[i]:.3g}" for i in places) for a in (line.value, line.slope))
    return f"at {' → '.join(f'{line.x[i]:.3g}' for i in places)}: value {value}, slope {slope}"
