"""Fields over a plane, in the theme's colours: a colour says which, its strength how much."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.image import AxesImage

from backhand.plots.drawing import INK, NAMES, SERIES, Options

Extent = tuple[float, float, float, float]  # left, right, bottom, top


def tint(
    axes: Axes, strength: np.ndarray, colour: str, extent: Extent | None = None,
    aspect: Literal["equal", "auto"] = "equal",
) -> AxesImage:  # fmt: skip
    """Fill cells with a colour of the theme: strength (rows, columns), 0 for none and 1 for all.

    The first row is at the top.
    """
    alpha = np.clip(np.nan_to_num(strength), 0, 1)[..., None]
    cells = np.concatenate([np.ones((*np.shape(strength), 3)), alpha], -1)
    image = axes.imshow(cells, extent=extent, aspect=aspect, interpolation="none")
    image.set_gid(f"tint {NAMES[colour]}")  # classes, whose style gives it the colour
    return image


def contours(
    axes: Axes, z: np.ndarray, levels: Sequence[float], width: float, extent: Extent | None = None
) -> list[Artist]:
    """Lines at the levels of z (rows, columns); with an extent, the first row is below.

    If z passes no level there is no line; Matplotlib would warn.
    """
    known = z[np.isfinite(z)]
    if not any((known < level).any() and (known > level).any() for level in levels):
        return []
    look: Options = {} if extent is None else {"origin": "lower", "extent": extent}
    return [axes.contour(z, levels, colors=INK, linewidths=width, linestyles="-", **look)]


def signed(
    values: np.ndarray, limit: float, colours: Sequence[str] = SERIES
) -> dict[str, np.ndarray]:
    """Strengths of a colour for values below 0 and of one for those above, full at ±limit."""
    return {colours[0]: -values / limit, colours[1]: values / limit}


def signed_bar(
    axes: Axes | Sequence[Axes], label: str, limit: float, colours: Sequence[str] = SERIES
) -> None:
    """The scale of `signed` values, below."""
    strengths = signed(np.linspace(-1, 1, 101), 1, colours)
    colour_bar(axes, label, np.linspace(-limit, limit, 5).tolist(), strengths)


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
        tint(bar.ax, strength[None], colour, (*ends, 0, 1), "auto")
    bar.set_ticks(ticks, labels=[f"{tick:.2g}".replace("-", "−") for tick in ticks])
