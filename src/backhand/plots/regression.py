"""Regression: what was fitted to which data, what is left over, and how scores compare."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from backhand.plots.drawing import Drawing, draw, draw_figure


def curve_fits(
    data: tuple[np.ndarray, np.ndarray],
    outlier: np.ndarray,
    grid: np.ndarray,
    clean: np.ndarray,
    fits: Mapping[str, np.ndarray],
    title: str,
) -> Drawing:
    """Fits over the data (x, y) and the clean curve, each of fits and clean its values along the grid.

    All arrays have one axis; `outlier` says which points are drawn as such.
    """
    x, y = data

    def panel(axes: Axes) -> None:
        ink = mpl.rcParams["text.color"]
        axes.scatter(x[~outlier], y[~outlier], s=7, color=ink, alpha=0.35, linewidth=0, label="data")
        if outlier.any():
            axes.scatter(x[outlier], y[outlier], s=18, color=ink, marker="x", linewidth=0.9, label="outliers")
        axes.plot(grid, clean, color=ink, linestyle="-", linewidth=0.9, label="clean curve")
        for label, values in fits.items():
            axes.plot(grid, values, label=label)
        axes.set(title=title, xlabel="x", ylabel="y")
        _legend_below(axes)

    return draw(panel, f"Data and fits. {title}: {_off(clean, fits)}.", height=4.0)


def surface_fits(
    data: tuple[np.ndarray, np.ndarray],
    outlier: np.ndarray,
    grid: tuple[np.ndarray, np.ndarray],
    clean: np.ndarray,
    fits: Mapping[str, np.ndarray],
    title: str,
) -> Drawing:
    """The data (x (N, 2), y (N,)) and the clean surface, then a row a fit: the fit, and how far it is off.

    `grid` holds the places (N,) of the grid's columns and rows, `clean` and each of `fits` its values
    (rows, columns). All share one colour scale; lines are drawn every 0.25, dashed below 0.
    """
    x, y = data
    limit = float(np.abs(clean).max())

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1 + len(fits), 2, sharex=True, sharey=True, squeeze=False)
        colours: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}

        def surface(axes: Axes, name: str, values: np.ndarray, lines: bool = True) -> Any:
            axes.set_title(name, fontsize=9.5)
            values = np.ma.masked_invalid(values)
            levels = np.linspace(-limit, limit, 21)
            filled = axes.contourf(*grid, values, levels=levels, cmap="RdBu_r", extend="both")
            filled.set_edgecolor("face")  # else a viewer shows seams
            inside = [level for level in np.arange(-2, 2.1, 0.25) if values.min() < level < values.max()]
            if lines and inside:
                axes.contour(*grid, values, levels=inside, colors="#1c2127", linewidths=0.5)
            return filled

        axes = panels[0, 0]
        axes.set_title("data; × outliers" if outlier.any() else "data", fontsize=9.5)
        ink = mpl.rcParams["text.color"]
        common, far = ~outlier, outlier
        axes.scatter(*x[common].T, c=y[common], s=14, edgecolors=ink, linewidth=0.3, **colours)
        axes.scatter(*x[far].T, color=ink, s=18, marker="x", linewidth=1)
        filled = surface(panels[0, 1], "clean surface", clean)
        for row, (label, values) in zip(panels[1:], fits.items(), strict=True):
            surface(row[0], label, values)
            surface(row[1], "fit − clean", values - clean, lines=False)
        for axes in panels.flat:
            axes.set_aspect("equal")
        for axes in panels[-1]:
            axes.set_xlabel("$x_1$")
        for axes in panels[:, 0]:
            axes.set_ylabel("$x_2$")
        bar = figure.colorbar(filled, ax=panels, location="bottom", label="y", shrink=0.8, aspect=40)
        ticks = [-limit, -limit / 2, 0.0, limit / 2, limit]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
        figure.suptitle(title, fontsize=11, fontweight="bold")

    alt = f"Data, clean surface and fits as filled contours. {title}: {_off(clean, fits)}."
    return draw_figure(paint, alt, 4.4, 1.1 + 2.0 * (1 + len(fits)))


def residuals(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, x_label: str, y_label: str
) -> Drawing:
    """Residuals, target less prediction, of each fit: against where they stand, and their histogram beside it.

    `panels` holds (at, residual), both (N,), by the fit's name; all share their axes.
    """
    finite = [r[np.isfinite(r)] for _, r in panels.values()]
    bins = np.linspace(*_limits(np.concatenate(finite)), 26)

    def paint(figure: Figure) -> None:
        rows = figure.subplots(len(panels), 2, sharex="col", sharey=True, squeeze=False, width_ratios=[3, 1])
        for i, ((points, bars), (label, (at, residual))) in enumerate(zip(rows, panels.items(), strict=True)):
            ink, colour = mpl.rcParams["text.color"], f"C{i}"
            points.axhline(0, color=ink, linestyle="-", linewidth=0.8)
            points.scatter(at, residual, s=7, alpha=0.6, linewidth=0, color=colour)
            bars.hist(residual[np.isfinite(residual)], bins, orientation="horizontal", color=colour)
            bars.axhline(0, color=ink, linestyle="-", linewidth=0.8)
            points.set_title(label, fontsize=9.5, loc="left")
            points.set_ylabel(y_label)
        rows[-1, 0].set_xlabel(x_label)
        rows[-1, 1].set_xlabel("points")
        figure.suptitle(title, fontsize=11, fontweight="bold")

    said = "; ".join(f"{name} mean {r.mean():.3g}, sd {r.std():.3g}" for name, (_, r) in panels.items())
    return draw_figure(paint, f"Residuals. {title}: {said}.", 4.4, 0.8 + 1.35 * len(panels))


def dots(
    groups: Mapping[str, Sequence[float]],
    title: str,
    x_label: str,
    log_limits: tuple[float, float] | None = None,
    marks: tuple[str, Mapping[str, float]] | None = None,
) -> Drawing:
    """Each group's values as dots in a row of their own, with their mean ± standard deviation.

    Where groups go together, as by seed or fold, the i-th dot stands at the same height in every row.
    With `log_limits` the axis is logarithmic, between them, so that several pictures can share it.
    `marks` are values to compare with: what they are called, and one for some groups or for all.
    """

    def panel(axes: Axes) -> None:
        ink = mpl.rcParams["text.color"]
        for row, values in enumerate(groups.values()):
            height = row + np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else [row]
            axes.scatter(np.asarray(values), height, s=14, color=f"C{row % 6}", alpha=0.75, linewidth=0)
            axes.errorbar(
                np.mean(values),
                row,
                xerr=_sd(values),
                fmt="D",
                color=ink,
                markersize=4.5,
                capsize=4,
                linewidth=1.4,
            )
        if marks:
            name, places = marks
            rows = [list(groups).index(group) for group in places]
            axes.scatter(list(places.values()), rows, s=160, marker="|", color=ink, linewidth=2.5, label=name)
            axes.figure.legend(loc="outside lower center")
        if log_limits:
            axes.set_xscale("log")
            axes.set_xlim(*log_limits)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set(title=title, xlabel=x_label, ylim=(len(groups) - 0.5, -0.5))
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)

    compared = {group: f", {marks[0]} {value:.3g}" for group, value in marks[1].items()} if marks else {}
    said = "; ".join(
        f"{name} {np.mean(v):.3g}{f' ± {_sd(v):.2g}' if len(v) > 1 else ''}{compared.get(name, '')}"
        for name, v in groups.items()
    )
    return draw(panel, f"Dots. {title}: {said}.", height=1.2 + 0.45 * len(groups))


def predictions(
    true: np.ndarray, predicted: np.ndarray, title: str, unit: str, limits: tuple[float, float]
) -> Drawing:
    """The true value (N,) against the predicted one (N,), with the diagonal on which they agree."""

    def panel(axes: Axes) -> None:
        ink = mpl.rcParams["text.color"]
        axes.plot(limits, limits, color=ink, linestyle="--", linewidth=1, label="prediction = truth")
        axes.scatter(predicted, true, s=9, alpha=0.6, linewidth=0, color="C0")
        axes.set(title=title, xlabel=f"predicted {unit}", ylabel=f"true {unit}", xlim=limits, ylim=limits)
        axes.set_aspect("equal")
        axes.legend(loc="upper left", fontsize=9)

    r = float(np.corrcoef(true, predicted)[0, 1])
    alt = f"True against predicted {unit}. {title}: {len(true)} points, correlation {r:.2f}."
    return draw(panel, alt, height=4.2)


def _legend_below(axes: Axes) -> None:
    axes.figure.legend(loc="outside lower center", ncols=2, fontsize=9)


def _off(clean: np.ndarray, fits: Mapping[str, np.ndarray]) -> str:
    """How far each fit is off, in words."""
    return "; ".join(
        f"{label} is {np.sqrt(np.mean((values - clean) ** 2)):.2g} off the clean values (root mean square)"
        for label, values in fits.items()
    )


def _limits(values: np.ndarray) -> tuple[float, float]:
    """A range about 0 that holds all values; of no values, any."""
    reach = float(np.abs(values).max(initial=1e-9))
    return -reach, reach


def _sd(values: Sequence[float]) -> float:
    """The standard deviation of a sample; of one value, 0."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
