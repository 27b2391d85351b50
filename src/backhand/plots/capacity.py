"""What a net makes of how much it can fit, and of how much it is given: curves with errors, fits with bands."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from backhand.plots.drawing import Drawing, draw_figure


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
    log: bool = False,
    log_x: bool = True,
) -> Drawing:
    """Named curves with error bars over an x whose ticks are its values; `level` is a horizontal line."""

    def panel(axes: Axes) -> None:
        for marker, (label, (x, y, error)) in zip(cycle("osD^vP"), series.items(), strict=False):
            axes.errorbar(x, _shown(y, log), error, label=label, marker=marker, markersize=4, capsize=2)
        ticks = sorted({float(value) for x, _, _ in series.values() for value in x})
        if log_x:
            axes.set_xscale("log")
            ticks = _apart(ticks)
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        _finish(axes, series, level, log)

    return _draw(panel, f"Curves with error bars. {title}, {y_label} by {x_label}: {_ends(series)}.")


def bands(
    series: Mapping[str, Curve],
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[str, float] | None = None,
    mark: tuple[str, float, float] | None = None,
    log: bool = False,
) -> Drawing:
    """Named curves in bands of y ± error; `level` is a horizontal line, `mark` a place on x, ± how much."""

    def panel(axes: Axes) -> None:
        ink = axes.xaxis.label.get_color()
        for label, (x, y, error) in series.items():
            (line,) = axes.plot(x, _shown(y, log), label=label)
            low, high = np.subtract(y, error), np.add(y, error)
            low = np.maximum(low, np.asarray(y) / 10) if log else low
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        left, right = axes.get_xlim()
        if mark is not None:
            name, where, spread = mark
            reach = max(where - spread, left), min(where + spread, right)
            axes.axvspan(*reach, color=ink, alpha=0.1, linewidth=0)
            axes.axvline(where, color=ink, linestyle=":", linewidth=1.2, label=name)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(left, right))
        _finish(axes, series, level, log)

    marked = f"; {mark[0]}: {mark[1]:.0f} ± {mark[2]:.0f}" if mark is not None else ""
    return _draw(panel, f"Curves in bands. {title}, {y_label} by {x_label}: {_ends(series)}{marked}.")


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

    def panel(axes: Axes) -> None:
        axes.plot(x, truth, label="true curve")
        axes.plot(x, predictions[0], label="one fit")
        (middle,) = axes.plot(x, mean, label="mean of all fits")
        low, high, colour = mean - spread, mean + spread, middle.get_color()
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, label="± sd of fits")
        axes.scatter(*points, s=14, color=axes.xaxis.label.get_color(), zorder=3, label="its training points")
        seen = np.concatenate([truth, points[1]])
        room = 0.2 * np.ptp(seen)
        axes.set(title=title, xlabel="x", ylabel="y", ylim=(seen.min() - room, seen.max() + room))

    alt = (
        f"Fits. {title}: {len(predictions)} nets, each fitted to its own sample, lie on average within "
        f"{np.abs(mean - truth).mean():.2g} of the true curve and spread by an sd of {spread.mean():.2g}."
    )
    return _draw(panel, alt)


def _draw(panel: Callable[[Axes], None], alt: str) -> Drawing:
    """One panel, and its legend below, where it covers nothing."""

    def paint(figure: Figure) -> None:
        panel(figure.add_subplot())
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)

    return draw_figure(paint, alt, 4.4, 3.8)


def _shown(y: Any, log: bool) -> Any:
    """What of y the axis can show: a logarithmic one has no 0."""
    return np.where(np.asarray(y) > 0, y, np.nan) if log else y


def _finish(axes: Axes, series: Mapping[str, Curve], level: tuple[str, float] | None, log: bool) -> None:
    """Draw the level; on a logarithmic axis, don't let error bars that reach down to 0 stretch it."""
    heights = []
    if level is not None:
        name, height = level
        axes.axhline(height, color=axes.xaxis.label.get_color(), linewidth=1, label=name, zorder=0)
        heights.append(height)
    values = np.concatenate([heights, *(np.asarray(y, np.float64) for _, y, _ in series.values())])
    shown = values[values > 0]  # false for NaN
    if log and shown.size:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=shown.min() / 1.6)


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
