"""Predictions of a regression, beside the truth."""

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import INK, SERIES, Drawing, draw


def predictions(
    true: np.ndarray, predicted: np.ndarray, title: str, unit: str, limits: tuple[float, float]
) -> Drawing:
    """The true value (N,) over the predicted one (N,), with the diagonal on which they agree."""

    def panel(axes: Axes) -> None:
        axes.plot(limits, limits, "--", color=INK, linewidth=1, label="prediction = truth")
        axes.scatter(predicted, true, 9, SERIES[0], alpha=0.6, linewidth=0)
        axes.set(title=title, xlabel=f"predicted {unit}", ylabel=f"true {unit}")
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.legend(loc="upper left")

    r = float(np.corrcoef(true, predicted)[0, 1])
    alt = f"True over predicted {unit}. {title}: {len(true)} points, correlation {r:.2f}."
    return draw(panel, alt, height=4.2)
