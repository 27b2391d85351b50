"""What a layer's units give over the plane."""

import numpy as np
from matplotlib.figure import Figure

from backhand.plots.boundary import Plane, leads, plain
from backhand.plots.drawing import SERIES, Drawing, draw_figure
from backhand.plots.tints import contours, signed, signed_bar

COLOURS = SERIES[3], SERIES[2]  # of what is below 0, and above; not those of the first classes


def activations(values: np.ndarray, probabilities: np.ndarray, plane: Plane, title: str) -> Drawing:
    """A map a unit, values (units, rows, columns), all in one scale of colour.

    The scale ends where 5 % of the values lie beyond it. The line in each map is the boundary of
    the net, which gives `probabilities` (rows, columns, classes) in the same window.
    """
    columns = min(4, len(values))
    rows = -(-len(values) // columns)
    limit = float(np.quantile(np.abs(np.nan_to_num(values)), 0.95)) or 1.0

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat[len(values) :]:
            axes.axis("off")
        for unit, (axes, value) in enumerate(zip(panels.flat, values, strict=False), start=1):
            signed(axes, value[::-1], limit, COLOURS, plane.extent)
            for lead in leads(probabilities):
                contours(axes, lead, [0], 0.7, plane.extent)
            axes.set(xticks=[], yticks=[], box_aspect=1)
            axes.set_title(f"unit {unit}", fontsize=8, weight="normal", pad=2)
        x1, x2 = map(plain, plane.axis_names)
        panels[-1, 0].set(xlabel=x1, ylabel=x2)
        signed_bar(list(panels.flat), "activation; line: the boundary", limit, COLOURS)
        figure.suptitle(title, weight="bold", fontsize=11)

    alt = f"Maps of the plane, one a unit. {title}: 95 % of activations within ±{limit:.3g}."
    return draw_figure(paint, alt, height=1.5 + 3.7 * rows / columns)
