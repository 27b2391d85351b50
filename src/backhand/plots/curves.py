"""Curves by epoch, and means with error bars over a number that nets have."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from backhand.plots.drawing import INK, Drawing, Options, draw_figure, legend_below

Level = tuple[str, float] | None
WIDTH = {False: 4.4, True: 6.4}  # inches: of a drawing, and of a report's main picture


def curves(
    series: Mapping[str, ArrayLike], title: str, y_label: str, level: Level = None,
    mark: tuple[str, float, float] | None = None, log: bool = False, wide: bool = False,
) -> Drawing:  # fmt: skip
    """Named series of one value an epoch, from epoch 1; those of several seeds as `draw_line` does.

    `level` is a horizontal line: its name, and its y. `mark` is a place on the x axis, ± how much.
    `log` is for the y axis; `wide` is for a report's main picture.
    """

    def panel(axes: Axes) -> None:
        for label, values in series.items():
            draw_line(axes, label, np.arange(1, 1 + np.shape(values)[-1]), values)
        if mark is not None:
            name, place, spread = mark
            ends = axes.get_xlim()
            axes.axvspan(place - spread, place + spread, color=INK, alpha=0.1, linewidth=0)
            axes.axvline(place, color=INK, linestyle=":", linewidth=1.2, label=name)
            axes.set_xlim(ends)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    means = {label: spread_of(values)[0] for label, values in series.items()}
    return _draw(panel, means, title, "epoch", y_label, level, log, wide)


def with_errors(
    series: Mapping[str, Mapping[float, ArrayLike]], title: str, x_label: str, y_label: str,
    level: Level = None, log: bool = False, wide: bool = False,
) -> Drawing:  # fmt: skip
    """Named series of values (seeds,) by x: their means, with error bars of ± standard deviation.

    The values of x are the axis's ticks, in order and evenly apart. The rest is as in `curves`.
    """
    ticks = sorted({x for by_x in series.values() for x in by_x})
    spreads = {n: spread_of(np.stack(list(by_x.values()), 1)) for n, by_x in series.items()}

    def panel(axes: Axes) -> None:
        for marker, (label, (mean, sd)) in zip(cycle("osD^vP"), spreads.items(), strict=False):
            places = [ticks.index(x) for x in series[label]]
            look: Options = {"marker": marker, "markersize": 4, "capsize": 2}
            axes.errorbar(places, mean, sd, label=label, **look)
        axes.set_xticks(range(len(ticks)), [f"{tick:,g}" for tick in ticks])

    means = {label: mean for label, (mean, _) in spreads.items()}
    return _draw(panel, means, title, x_label, y_label, level, log, wide)


def draw_line(axes: Axes, label: str, x: ArrayLike, values: ArrayLike) -> None:
    """A line of values (places,); or the means of (samples, places), in a band of ± their sd."""
    mean, sd = spread_of(values)
    (line,) = axes.plot(x, mean, label=label)
    if sd.any():
        axes.fill_between(x, mean - sd, mean + sd, color=line.get_color(), alpha=0.2, linewidth=0)


def spread_of(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the samples of values (samples, places); 0 of one sample."""
    samples = np.atleast_2d(np.asarray(values, np.float64))
    with np.errstate(invalid="ignore"):  # an infinite value has no spread
        return samples.mean(0), samples.std(0, ddof=min(1, len(samples) - 1))


def log_scale(axes: Axes, name: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with ticks at 1, 2, 5, 10, …; at powers of 10 if they are many."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _draw(
    panel: Callable[[Axes], None], means: Mapping[str, np.ndarray], title: str, x_label: str,
    y_label: str, level: Level, log: bool, wide: bool,
) -> Drawing:  # fmt: skip
    """What curves and means with errors have in common."""
    values = np.concatenate([[], *means.values()])
    if level is not None:
        values = np.append(values, level[1])
    above = values[values > 0]  # false for NaN

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        panel(axes)
        if level is not None:
            axes.axhline(level[1], color=INK, linestyle="-", linewidth=1, label=level[0], zorder=0)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if log and above.size:
            log_scale(axes, "y")
            axes.set_ylim(bottom=above.min() / 1.6)  # what is 0 or below lies under this edge
        legend_below(figure)

    ends = ", ".join(f"{label} from {y[0]:.3g} to {y[-1]:.3g}" for label, y in means.items())
    return draw_figure(paint, f"Curves. {title}, {y_label} by {x_label}: {ends}.", WIDTH[wide])
