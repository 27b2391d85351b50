"""What a layer's units give over the plane."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from backhand.plots.boundary import Plane, leads, plain
from backhand.plots.drawing import INK, SERIES, Drawing, draw
from backhand.plots.tints import contours, signed, signed_bar, tint
from backhand.plots.weights import contact_sheet

COLOURS = SERIES[3], SERIES[2]  # of what is below 0, and above; not those of the first classes


def activations(values: np.ndarray, probabilities: np.ndarray, plane: Plane, title: str) -> Drawing:
    """A map a unit, values (units, rows, columns), all in one scale of colour.

    The scale ends where 5 % of the values lie beyond it. The line in each map is the boundary of
    the net, which gives `probabilities` (rows, columns, classes) in the same window.
    """
    units, cells, _ = values.shape
    columns, gap = min(4, units), 3 * cells // 10
    rows = -(-units // columns)
    limit = float(np.quantile(np.abs(np.nan_to_num(values)), 0.95)) or 1.0
    sheet = contact_sheet(values[:, ::-1], columns, gap)
    lefts, tops = ([i * (cells + gap) for i in range(count)] for count in (columns, rows))

    def panel(axes: Axes) -> None:
        for colour, strength in signed(sheet, limit, COLOURS).items():
            tint(axes, strength, colour)
        for lead in leads(probabilities):
            repeated = np.repeat(lead[None, ::-1], units, axis=0)
            contours(axes, contact_sheet(repeated, columns, gap), [0], 0.7)
        for unit in range(units):
            left, top = lefts[unit % columns], tops[unit // columns]
            frame = Rectangle((left, top), cells, cells, fill=False, edgecolor=INK, linewidth=0.5)
            axes.add_patch(frame)
            middle, name = left + cells / 2, f"unit {unit + 1}"
            axes.text(middle, top - 2, name, ha="center", va="bottom", fontsize=8)
        axes.set(title=title, xlabel=plain(plane.axis_names[0]), ylabel=plain(plane.axis_names[1]))
        axes.set(xlim=(-1, sheet.shape[1]), ylim=(sheet.shape[0], -gap), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        signed_bar(axes, "activation; line: the boundary", limit, COLOURS)

    low, high = np.nan_to_num(values).min(), np.nan_to_num(values).max()
    alt = f"Maps of the plane, one a unit. {title}: activations from {low:.3g} to {high:.3g}."
    return draw(panel, alt, height=1.5 + 3.7 * rows / columns)
