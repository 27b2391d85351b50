"""Fields over a plane, in the theme's colours: a colour says which, its strength how much."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.image import AxesImage

from backhand.plots.drawing import INK, NAMES, SERIES, Options

Extent = tuple[float, float, float, float]  # left, right, bottom, top


def tint(axes: Axes, strength: np.ndarray, colour: str, extent: Extent | None = None) -> AxesImage:
    """Fill cells with a colour of the theme: strength (rows, columns), 0 for none and 1 for all.

    The first row is at the top. Cells are square if the axes' aspect is made equal.
    """
    alpha = np.clip(np.nan_to_num(strength), 0, 1)[..., None]
    cells = np.concatenate([np.ones((*np.shape(strength), 3)), alpha], -1)
    image = axes.imshow(cells, extent=extent, aspect="auto", interpolation="none")
    image.set_gid(f"tint {NAMES[colour]}")  # classes, whose style gives it the colour
    return image


def contours(
    axes: Axes, z: np.ndarray, levels: Sequence[float], width: float, extent: Extent
) -> list[Artist]:
    """Lines at the levels of z (rows, columns), the first row below.

    If z passes no level there is no line; Matplotlib would warn.
    """
    known = z[np.isfinite(z)]
    if not any((known < level).any() and (known > level).any() for level in levels):
        return []
    look: Options = {"colors": INK, "linewidths": width, "linestyles": "-"}
    return [axes.contour(z, levels, origin="lower", extent=extent, **look)]


def signed(
    axes: Axes, values: np.ndarray, limit: float, colours: Sequence[str] = SERIES,
    extent: Extent | None = None,
) -> None:  # fmt: skip
    """Tint what is below 0 in one colour, and what is above in another, both full at ±limit."""
    tint(axes, -values / limit, colours[0], extent)
    tint(axes, values / limit, colours[1], extent)


def signed_bar(
    axes: Axes | Sequence[Axes], label: str, limit: float, colours: Sequence[str] = SERIES
) -> None:
    """The scale of `signed` values, below."""
    scale = np.linspace(-1, 1, 101)
    ticks = np.linspace(-limit, limit, 5).tolist()
    colour_bar(axes, label, ticks, {colours[0]: -scale, colours[1]: scale})


def colour_bar(
    axes: Axes | Sequence[Axes], label: str, ticks: Sequence[float],
    strengths: Mapping[str, np.ndarray],
) -> None:  # fmt: skip
    """A scale below: the strengths (n,) of each colour from the first tick to the last."""
    figure = (axes if isinstance(axes, Axes) else axes[0]).figure
    ends = ticks[0], ticks[-1]
    scale = ScalarMappable(Normalize(*ends), ListedColormap(["none"]))  # it shows no colour itself
    bar = figure.colorbar(scale, ax=axes, label=label, location="bottom", shrink=0.8, aspect=40)
    for colour, strength in strengths.items():
        tint(bar.ax, strength[None], colour, (*ends, 0, 1))
    bar.set_ticks(ticks, labels=[f"{tick:.2g}".replace("-", "−") for tick in ticks])
