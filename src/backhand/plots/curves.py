"""Curves by epoch, or over a number that nets have."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from backhand.plots.drawing import INK, Drawing, Options, draw

WIDTH = {False: 4.4, True: 6.4}  # inches: of a drawing, and of a report's main picture


def curves(
    series: Mapping[str, ArrayLike], title: str, y_label: str,
    over: tuple[str, Sequence[float]] | None = None, level: tuple[str, float] | None = None,
    mark: tuple[str, float, float] | None = None, log: bool = False, wide: bool = False,
) -> Drawing:  # fmt: skip
    """Named series of one value an epoch, from epoch 1, or one for each number they are `over`.

    Series of several seeds, (seeds, epochs), are shown by mean and standard deviation. `over` is a
    name and the numbers, which are the ticks of the x axis, evenly apart. `level` is a horizontal
    line: its name, and its y. `mark` is a place on the x axis, ± how much. `log` is for the y axis;
    what is 0 or below then lies under its lower edge. `wide` is for a report's main picture.
    """
    spreads = {label: spread_of(values) for label, values in series.items()}
    x_label, ticks = over or ("epoch", [])
    values = np.concatenate([[] if level is None else level[1:], *(y for y, _ in spreads.values())])
    above = values[values > 0]  # false for NaN

    def panel(axes: Axes) -> None:
        for marker, (label, (mean, sd)) in zip(cycle("osD^vP"), spreads.items(), strict=False):
            if over is None:
                draw_line(axes, label, np.arange(1, 1 + len(mean)), series[label])
            else:
                look: Options = {"marker": marker, "markersize": 4, "capsize": 2}
                axes.errorbar(range(len(mean)), mean, sd, label=label, **look)
        if mark is not None:
            name, place, spread = mark
            ends = axes.get_xlim()
            axes.axvspan(place - spread, place + spread, color=INK, alpha=0.1, linewidth=0)
            axes.axvline(place, color=INK, linestyle=":", linewidth=1.2, label=name)
            axes.set_xlim(ends)
        if level is not None:
            axes.axhline(level[1], color=INK, linestyle="-", linewidth=1, label=level[0], zorder=0)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if over is not None:
            axes.set_xticks(range(len(ticks)), [f"{tick:,g}" for tick in ticks])
        if log and above.size:
            log_scale(axes, "y")
            axes.set_ylim(bottom=above.min() / 1.6)

    ends = ", ".join(f"{label} from {y[0]:.3g} to {y[-1]:.3g}" for label, (y, _) in spreads.items())
    return draw(panel, f"Curves. {title}, {y_label} by {x_label}: {ends}.", WIDTH[wide])


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
