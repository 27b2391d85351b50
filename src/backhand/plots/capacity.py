"""What a net makes of how much it can fit, and of how much it is given: curves with errors, fits with bands."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from backhand.plots.drawing import Drawing, draw_figure

MARKERS = "osD^vP"


class Curve(NamedTuple):
    """Points (x, y), and how uncertain each y is; in y's unit."""

    x: Any
    y: Any
    error: Any


def with_errors(
    series: Mapping[str, Curve],
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[str, float] | None = None,
    log: bool = True,
) -> Drawing:
    """Named series with error bars over a logarithmic x, whose values are the ticks.

    `level` is a horizontal line and its name. On a logarithmic y axis values of 0 and less are left out.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for marker, (label, (x, y, error)) in zip(MARKERS * len(series), series.items(), strict=False):
            shown = np.where(np.asarray(y) > 0, y, np.nan) if log else np.asarray(y)  # a log axis has no 0
            axes.errorbar(x, shown, error, label=label, marker=marker, markersize=4, capsize=2)
        _level(axes, level)
        ticks = sorted({float(value) for x, _, _ in series.values() for value in x})
        axes.set_xscale("log")
        axes.set_xticks(_apart(ticks), [f"{tick:g}" for tick in _apart(ticks)])
        axes.xaxis.set_minor_locator(NullLocator())
        if log:
            _log_y(axes, [y for _, y, _ in series.values()] + [[level[1]] if level else []])
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)

    return draw_figure(paint, f"Curves with error bars. {title}: {_ends(series)}.", 4.4, 3.8)


def bands(
    series: Mapping[str, Curve],
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[str, float] | None = None,
    mark: tuple[str, float, float] | None = None,
) -> Drawing:
    """Named curves in bands of y ± error, on a logarithmic y axis.

    `level` is a horizontal line and its name; `mark` the name of a place on the x axis, where it is, and ± how much.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for label, (x, y, error) in series.items():
            y, error = np.where(np.asarray(y) > 0, y, np.nan), np.asarray(error)
            (line,) = axes.plot(x, y, label=label)
            low = np.maximum(y - error, y / 10)  # a log axis has no 0
            axes.fill_between(x, low, y + error, color=line.get_color(), alpha=0.2, linewidth=0)
        _level(axes, level)
        if mark:
            name, where, spread = mark
            ink = axes.xaxis.label.get_color()
            axes.axvline(where, color=ink, linestyle=(0, (1, 1)), linewidth=1.2)
            axes.axvspan(where - spread, where + spread, color=ink, alpha=0.1, linewidth=0)
            axes.plot([], [], color=ink, linestyle=(0, (1, 1)), linewidth=1.2, label=name)
            first, last = (
                min(x[0] for x, _, _ in series.values()),
                max(x[-1] for x, _, _ in series.values()),
            )
            axes.set_xlim(first - 0.02 * (last - first), last + 0.02 * (last - first))
        _log_y(axes, [y for _, y, _ in series.values()] + [[level[1]] if level else []])
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)

    marked = f"; {mark[0]}: {mark[1]:.0f} ± {mark[2]:.0f}" if mark else ""
    return draw_figure(paint, f"Curves in bands. {title}: {_ends(series)}{marked}.", 4.4, 3.8)


def fits(
    x: np.ndarray,
    truth: np.ndarray,
    predictions: np.ndarray,
    points: tuple[np.ndarray, np.ndarray],
    title: str,
) -> Drawing:
    """What nets trained on resampled sets, predictions (sets, grid), make of one curve, truth (grid,), over x (grid,).

    Shown are the first net with the points (x, y) it was trained on, the mean of all, and a band of ± their sd.
    """
    mean, spread = predictions.mean(0), predictions.std(0, ddof=1)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(x, truth, label="true curve")
        axes.plot(x, predictions[0], label="one fit")
        (middle,) = axes.plot(x, mean, label="mean of all fits")
        low, high, colour = mean - spread, mean + spread, middle.get_color()
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, label="± sd of fits")
        axes.scatter(*points, s=14, color=axes.xaxis.label.get_color(), zorder=3, label="its training points")
        seen = np.concatenate([truth, points[1]])
        room = 0.1 * np.ptp(seen)
        axes.set(title=title, xlabel="x", ylabel="y", ylim=(seen.min() - room, seen.max() + room))
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)

    alt = (
        f"Fits. {title}: {len(predictions)} nets, each fitted to its own sample, lie on average within "
        f"{np.abs(mean - truth).mean():.2g} of the true curve and spread by an sd of {spread.mean():.2g}."
    )
    return draw_figure(paint, alt, 4.4, 3.8)


def _level(axes: Axes, level: tuple[str, float] | None) -> None:
    if level:
        ink = axes.xaxis.label.get_color()
        axes.axhline(level[1], color=ink, linewidth=1, label=level[0], zorder=0)


def _log_y(axes: Axes, values: list[Any]) -> None:
    """A logarithmic y axis that error bars reaching down to 0 don't stretch."""
    every = np.concatenate([np.asarray(y, dtype=np.float64).ravel() for y in values])
    every = every[np.isfinite(every) & (every > 0)]
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    if len(every):
        axes.set_ylim(bottom=every.min() / 1.6)


def _apart(ticks: list[float]) -> list[float]:
    """Those ticks of a logarithmic axis that leave room for one another's numbers."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or np.log(tick / kept[-1]) > 0.12 * np.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    return kept


def _ends(series: Mapping[str, Curve]) -> str:
    return ", ".join(
        f"{label} from {y[0]:.3g} ± {error[0]:.2g} to {y[-1]:.3g} ± {error[-1]:.2g}"
        for label, (_, y, error) in series.items()
    )
