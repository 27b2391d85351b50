"""Values in rows: dots with their mean, and estimates with their intervals."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from backhand.plots.curves import WIDTH, log_scale, spread_of
from backhand.plots.drawing import INK, SERIES, Drawing, Options, draw

Marks = tuple[str, Mapping[str, float]]  # to compare with: their name, and one for any of the rows
DIAMOND: Options = {"fmt": "D", "markersize": 4.5, "capsize": 4}


def dots(
    groups: Mapping[str, ArrayLike], title: str, x_label: str,
    limits: tuple[float, float] | None = None, marks: Marks = ("", {}), log: bool = False,
    wide: bool = False,
) -> Drawing:  # fmt: skip
    """Each group's values as dots in a row of their own, with their mean ± standard deviation.

    If groups go together, as by seed or fold, the i-th dot is at the same height in every row.
    `limits` are the x axis's, so that drawings can share them. On a logarithmic axis, mean and
    standard deviation are those of the logarithms.
    """
    found = {name: np.asarray(v, np.float64) for name, v in groups.items()}
    scale, back = (np.log, np.exp) if log else (np.asarray, np.asarray)

    def panel(axes: Axes) -> None:
        for row, values in enumerate(found.values()):
            height = row + np.linspace(-0.3, 0.3, len(values)) * (len(values) > 1)
            axes.scatter(values, height, 14, SERIES[row % len(SERIES)], alpha=0.75, linewidth=0)
            mean, sd = spread_of(scale(values)[:, None])
            low, middle, high = back([mean - sd, mean, mean + sd])
            reach = middle - low, high - middle
            axes.errorbar(middle, row, xerr=reach, color=INK, linewidth=1.4, **DIAMOND)
        if limits is not None:
            axes.set_xlim(limits)
        if log:
            log_scale(axes, "x")

    words = {name: f"{back(scale(values).mean()):.3g}" for name, values in found.items()}
    return _rows(panel, words, title, x_label, marks, WIDTH[wide], 0.45)


def intervals(
    estimates: Mapping[str, tuple[float, float, float]], title: str, x_label: str, marks: Marks
) -> Drawing:
    """Each estimate (value, low, high) in a row of its own, with its interval from low to high."""
    value, low, high = np.transpose(list(estimates.values()))

    def panel(axes: Axes) -> None:
        reach = (value - low, high - value)
        axes.errorbar(value, range(len(value)), xerr=reach, color=SERIES[0], **DIAMOND)

    words = {name: f"{v:.3g} [{a:.3g}, {b:.3g}]" for name, (v, a, b) in estimates.items()}
    return _rows(panel, words, title, x_label, marks, WIDTH[True], 0.32)


def _rows(
    panel: Callable[[Axes], None], words: Mapping[str, str], title: str, x_label: str, marks: Marks,
    width: float, row_height: float,
) -> Drawing:  # fmt: skip
    """The panel, in rows named as the words about them are, with their marks."""
    names, (label, places) = list(words), marks

    def whole(axes: Axes) -> None:
        panel(axes)
        axes.set_yticks(range(len(names)), names)
        axes.set(title=title, xlabel=x_label, ylim=(len(names) - 0.5, -0.5))
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
        if places:
            at = list(places.values()), [names.index(name) for name in places]
            axes.scatter(*at, 160, INK, marker="|", linewidth=2.5, label=label)

    shown = "; ".join(f"{name} {word}" for name, word in words.items())
    compared = "; ".join(f"{name} {place:.3g}" for name, place in places.items())
    alt = f"{title}, {x_label}: {shown}." + f" Beside it, {label}: {compared}." * bool(places)
    return draw(whole, alt, width, 1.2 + row_height * len(names))
