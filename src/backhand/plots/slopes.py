"""Functions of one number, their slopes under them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from backhand.plots.drawing import INK, Drawing, Options, draw_figure, legend_below


class Function(NamedTuple):
    """A function at some places x, in order: its value and its slope there, NaN if it has none."""

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def value_and_slope(
    lines: Mapping[str, Function], rings: Mapping[str, Function], dots: Mapping[str, Function],
    title: str, labels: tuple[str, str, str], group: Sequence[Function] = (), symlog: bool = False,
) -> Drawing:  # fmt: skip
    """Functions by name, above; their slopes, on the same x axis, below.

    `rings` are points to compare a line with; `dots` are kinks and jumps, at which lines are
    interrupted, so that what is true there and beside it can be seen apart. `labels` are of x, the
    values and the slopes. Drawings of the functions of a `group` share their axes. `symlog` is for
    x and the values.
    """
    breaks = np.concatenate([[], *(dot.x for dot in dots.values())])

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, sharex=True)
        if symlog:
            above.set_xscale("symlog", linthresh=1)
            above.set_yscale("symlog", linthresh=1)
            above.set_xticks([-1e4, -1e2, -1, 0, 1, 1e2, 1e4], minor=False)
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
            for line in group:
                axes.update_datalim(np.stack([line.x, getattr(line, field)], 1))
            axes.autoscale_view()
            axes.grid(alpha=0.25, linewidth=0.6)
        above.set(title=title, ylabel=labels[1])
        below.set(xlabel=labels[0], ylabel=labels[2])
        figure.align_ylabels()
        if len(lines) + len(rings) + len(dots) > 1:
            legend_below(figure, above)

    x_label, value, slope = labels
    ends = ", ".join(f"{n} from {f.value[0]:.3g} to {f.value[-1]:.3g}" for n, f in lines.items())
    alt = f"Two panels over {x_label}. {title}: {value} above, {ends}; {slope} below."
    return draw_figure(paint, alt, height=4.6)
