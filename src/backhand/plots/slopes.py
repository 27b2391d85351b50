"""Functions of one number, their slopes under them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from backhand.plots.curves import Limits
from backhand.plots.drawing import INK, Drawing, Options, draw_figure, legend_below


class Function(NamedTuple):
    """A function at some places x, in order: its value and its slope there, NaN if it has none."""

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def value_and_slope(
    lines: Mapping[str, Function], title: str, x_label: str, value_label: str, slope_label: str, *,
    rings: Mapping[str, Function] | None = None, dots: Mapping[str, Function] | None = None,
    value_limits: Limits | None = None, slope_limits: Limits | None = None,
    scale: Literal["linear", "symlog"] = "linear",
) -> Drawing:  # fmt: skip
    """Functions by name, above; their slopes, on the same x axis, below.

    `rings` are points to compare a line with; `dots` are kinks and jumps, at which lines are
    interrupted, so that what is true there and beside it can be seen apart. `scale` is that of x
    and of the values.
    """
    rings, dots = rings or {}, dots or {}
    breaks = np.concatenate([np.empty(0), *(dot.x for dot in dots.values())])

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, sharex=True)
        for axes, field in ((above, "value"), (below, "slope")):
            for label, line in lines.items():
                y = getattr(line, field)
                whole = np.isfinite(y) & ~np.isin(line.x, breaks)
                axes.plot(line.x, np.where(whole, y, np.nan), label=label)
            look: Options = {"linestyle": "none", "markersize": 5, "color": INK, "zorder": 3}
            for points, marker, face in ((rings, "o", "none"), (dots, "D", INK)):
                for label, at in points.items():
                    y = getattr(at, field)
                    axes.plot(at.x, y, marker, markerfacecolor=face, label=label, **look)
            axes.grid(alpha=0.25, linewidth=0.6)
        above.set(title=title, ylabel=value_label)
        below.set(xlabel=x_label, ylabel=slope_label)
        if scale == "symlog":
            above.set_xscale("symlog", linthresh=1)
            above.set_yscale("symlog", linthresh=1)
            ticks = [sign * 10.0**power for power in (4, 2, 0) for sign in (-1, 1)]
            above.set_xticks([0, *ticks], minor=False)
        above.set_ylim(value_limits)
        below.set_ylim(slope_limits)
        figure.align_ylabels()
        if len(lines) + len(rings) + len(dots) > 1:
            legend_below(figure)

    words = "; ".join(f"{label}, {_in_words(line)}" for label, line in {**lines, **rings}.items())
    jumps = "".join(
        f" {label}: {', '.join(f'{y:.3g} at {x:.3g}' for x, _, y in zip(*dot, strict=True))}."
        for label, dot in dots.items()
    )
    panels = f"{value_label} above, {slope_label} below, over {x_label}"
    alt = f"Two panels. {title}: {panels}. {words}.{jumps}"
    return draw_figure(paint, alt, height=4.6)


def _in_words(line: Function) -> str:
    """Value and slope at both ends and in the middle."""
    places = [0, len(line.x) // 2, len(line.x) - 1]
    x, value, slope = (" → ".join(f"{a[i]:.3g}" for i in places) for a in line)
    return f"at {x}: value {value}, slope {slope}"
