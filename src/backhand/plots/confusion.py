"""Which class is taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import SERIES, Drawing, draw
from backhand.plots.tints import tint


def confusion(
    true: np.ndarray, predicted: np.ndarray, class_names: Sequence[str], title: str
) -> Drawing:
    """A confusion matrix of labels (N,): a row a true class, a column a predicted one.

    Errors are tinted, the stronger the more there are.
    """
    counts = np.zeros((len(class_names), len(class_names)), np.int64)
    np.add.at(counts, (true, predicted), 1)
    errors = np.where(np.eye(len(counts), dtype=bool), 0, counts)

    def panel(axes: Axes) -> None:
        tint(axes, (errors > 0) * (0.15 + 0.35 * errors / max(errors.max(), 1)), SERIES[1])
        for (row, column), count in np.ndenumerate(counts):
            if row == column or count:
                weight = "normal" if row == column else "bold"
                axes.text(column, row, str(count), weight=weight, size=9, ha="center", va="center")
        axes.set_xticks(range(len(class_names)), class_names)
        axes.set_yticks(range(len(class_names)), class_names)
        axes.set(title=title, xlabel="predicted", ylabel="true", aspect="equal")

    right, other = divmod(int(errors.argmax()), len(errors))
    most = f", most often {class_names[right]} as {class_names[other]}" if errors.any() else ""
    alt = f"Confusion matrix. {title}: {errors.sum()} of {counts.sum()} wrong{most}."
    return draw(panel, alt, height=4.2)
