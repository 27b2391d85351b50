"""Values in rows of dots, a row a group."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from backhand.plots.curves import WIDTH, Limits, log_scale
from backhand.plots.drawing import INK, SERIES, Drawing, Options, draw_figure, legend_below


def dots(
    groups: Mapping[str, ArrayLike], title: str, x_label: str, limits: Limits | None = None,
    marks: tuple[str, Mapping[str, float]] | None = None, log: bool = False, wide: bool = False,
) -> Drawing:  # fmt: skip
    """Each group's values as dots in a row of their own, with their mean ± standard deviation.

    If groups go together, as by seed or fold, the i-th dot is at the same height in every row.
    `limits` are the x axis's, so that drawings can share them. `marks` are values to compare with:
    what they are called, and one for some groups or for all.
    """
    found = {name: np.asarray(v, np.float64) for name, v in groups.items()}
    name, places = marks or ("", {})

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, values in enumerate(found.values()):
            height = row + (np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else np.zeros(1))
            axes.scatter(values, height, 14, SERIES[row % len(SERIES)], alpha=0.75, linewidth=0)
            look: Options = {"color": INK, "markersize": 4.5, "capsize": 4, "linewidth": 1.4}
            axes.errorbar(values.mean(), row, xerr=_sd(values), fmt="D", **look)
        if places:
            rows = [list(groups).index(group) for group in places]
            axes.scatter(
                list(places.values()), rows, 160, INK, marker="|", linewidth=2.5, label=name
            )
            legend_below(figure)
        if log:
            log_scale(axes, "x")
        axes.set_xlim(limits)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set(title=title, xlabel=x_label, ylim=(len(groups) - 0.5, -0.5))
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)

    words = "; ".join(
        f"{group} {v.mean():.3g}{f' ± {_sd(v):.2g}' if len(v) > 1 else ''}"
        + (f", {name} {places[group]:.3g}" if group in places else "")
        for group, v in found.items()
    )
    return draw_figure(paint, f"Dots. {title}: {words}.", WIDTH[wide], 1.2 + 0.45 * len(groups))


def _sd(values: np.ndarray) -> float:
    """The standard deviation of a sample; of one value, 0."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
