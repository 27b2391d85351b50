"""Curves by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backhand.plots.drawing import Drawing, draw


def curves(series: Mapping[str, Sequence[float]], title: str, y_label: str, log: bool = False) -> Drawing:
    """Named series of one value an epoch; on a logarithmic axis zeros are left out."""

    def panel(axes: Axes) -> None:
        for label, values in series.items():
            shown = np.where(np.asarray(values) > 0, values, np.nan) if log else values  # a log axis has no 0
            axes.plot(range(1, len(values) + 1), shown, label=label)
        if log:
            axes.set_yscale("log")
        axes.set(title=title, xlabel="epoch", ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    ends = ", ".join(f"{label} {values[-1]:.4g}" for label, values in series.items())
    return draw(panel, f"Curves. {title} by epoch, in {y_label}; after the last: {ends}.")
