"""Curves: alone, in bands, or with error bars."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Literal, NamedTuple, TypedDict, Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from backhand.plots.drawing import INK, Drawing, Options, draw_figure, legend_below

Limits = tuple[float, float]
Level = tuple[str, float] | None
WIDTH = {False: 4.4, True: 6.4}  # inches: of a drawing, and of a report's main picture


class Curve(NamedTuple):
    """Points (x, y), and how uncertain each y is, in y's unit; None draws a line alone."""

    x: ArrayLike
    y: ArrayLike
    error: ArrayLike | None = None


class Look(TypedDict, total=False):
    """How curves are shown.

    Attributes:
      log: whether the y axis is logarithmic; it leaves out what is not above 0.
      limits: the y axis's, so that drawings can share them; see `shared_limits`.
      wide: whether it is a report's main picture.
    """

    log: bool
    limits: Limits | None
    wide: bool


def curves(
    series: Mapping[str, ArrayLike], title: str, y_label: str, **look: Unpack[Look]
) -> Drawing:
    """Named series of one value an epoch, from epoch 1."""
    lines = {name: Curve(np.arange(1, 1 + np.size(y)), y) for name, y in series.items()}
    return bands(lines, title, "epoch", y_label, **look)


def bands(
    series: Mapping[str, Curve], title: str, x_label: str, y_label: str, level: Level = None,
    mark: tuple[str, float, float] | None = None, **look: Unpack[Look],
) -> Drawing:  # fmt: skip
    """Named curves in bands of y ± error.

    `level` is a horizontal line: its name, and its y. `mark` is a place on the x axis, ± how much.
    """

    def panel(axes: Axes) -> None:
        for label, curve in series.items():
            draw_band(axes, label, curve, look.get("log", False))
        if mark is not None:
            name, place, spread = mark
            left, right = axes.get_xlim()
            reach = max(place - spread, left), min(place + spread, right)
            axes.axvspan(*reach, color=INK, alpha=0.1, linewidth=0)
            axes.axvline(place, color=INK, linestyle=":", linewidth=1.2, label=name)
            axes.set_xlim(left, right)
        if all((np.mod(curve.x, 1) == 0).all() for curve in series.values()):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    marked = f"; {mark[0]}: {mark[1]:.0f} ± {mark[2]:.0f}" if mark is not None else ""
    return _draw(panel, series, title, x_label, y_label, level, marked, **look)


def with_errors(
    series: Mapping[str, Curve], title: str, x_label: str, y_label: str, level: Level = None,
    log_x: bool = True, **look: Unpack[Look],
) -> Drawing:  # fmt: skip
    """Named curves with error bars over an x whose ticks are its values; `level` as in `bands`."""

    def panel(axes: Axes) -> None:
        for marker, (label, (x, y, error)) in zip(cycle("osD^vP"), series.items(), strict=False):
            options: Options = {"label": label, "marker": marker, "markersize": 4, "capsize": 2}
            axes.errorbar(x, _shown(y, look.get("log", False)), error, **options)
        ticks = sorted({float(place) for curve in series.values() for place in np.asarray(curve.x)})
        if log_x:
            axes.set_xscale("log")
            ticks = _apart(ticks)
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())

    return _draw(panel, series, title, x_label, y_label, level, **look)


def shared_limits(*drawn: Mapping[str, Curve], log: bool = False) -> Limits:
    """Limits of a y axis that show the curves of several drawings, so that they can be compared."""
    ends = []
    for _, y, error in (curve for series in drawn for curve in series.values()):
        reach = 0.0 if error is None or log else np.asarray(error, np.float64)
        ends += [np.subtract(y, reach), np.add(y, reach)]
    values = np.concatenate(ends, dtype=np.float64)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = (values.min(), values.max()) if values.size else (0.1, 1.0)
    room = 0.05 * (high - low) or 0.5
    return (low / 1.6, high * 1.6) if log else (low - room, high + room)


def log_scale(axes: Axes, name: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with ticks at 1, 2, 5, 10, …; at powers of 10 if they are many."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def draw_band(axes: Axes, label: str, curve: Curve, log: bool = False) -> None:
    """A line, and a band of ± its error."""
    (line,) = axes.plot(curve.x, _shown(curve.y, log), label=label)
    if curve.error is not None:
        low, high = np.subtract(curve.y, curve.error), np.add(curve.y, curve.error)
        low = np.maximum(low, np.asarray(curve.y) / 10) if log else low
        axes.fill_between(curve.x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def _draw(
    panel: Callable[[Axes], None], series: Mapping[str, Curve], title: str, x_label: str,
    y_label: str, level: Level, more: str = "", log: bool = False,
    limits: Limits | None = None, wide: bool = False,
) -> Drawing:  # fmt: skip
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        panel(axes)
        if level is not None:
            axes.axhline(level[1], color=INK, linestyle="-", linewidth=1, label=level[0], zorder=0)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        shown = [level[1]] if level is not None else []
        values = np.concatenate([shown, *(np.asarray(c.y, np.float64) for c in series.values())])
        above = values[values > 0]  # false for NaN
        if log and above.size:
            log_scale(axes, "y")
            axes.set_ylim(bottom=above.min() / 1.6)  # error bars down to 0 would stretch it
        if limits is not None:
            axes.set_ylim(*limits)
        legend_below(figure)

    ends = ", ".join(f"{label} {_ends(curve)}" for label, curve in series.items())
    alt = f"Curves. {title}, {y_label} by {x_label}: {ends}{more}."
    return draw_figure(paint, alt, WIDTH[wide])


def _shown(y: ArrayLike, log: bool) -> np.ndarray:
    """y as the axis shows it: a logarithmic one leaves out 0 and below."""
    return np.where(np.asarray(y) > 0, y, np.nan) if log else np.asarray(y)


def _apart(ticks: list[float]) -> list[float]:
    """Those ticks of a logarithmic axis whose numbers don't touch."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or np.log(tick / kept[-1]) > 0.12 * np.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    return kept


def _ends(curve: Curve) -> str:
    """A curve's first and last value, in words."""
    y = np.asarray(curve.y)
    error = (
        [""] * y.size if curve.error is None else [f" ± {e:.2g}" for e in np.asarray(curve.error)]
    )
    return f"from {y[0]:.3g}{error[0]} to {y[-1]:.3g}{error[-1]}"
