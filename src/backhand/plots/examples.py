"""Examples as pictures, and those that a net is most confidently wrong about."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import INK, Drawing, draw
from backhand.plots.tints import tint

COLUMNS, ROWS = 4, 3  # of a drawing; rows of mistakes at most


def examples(pictures: np.ndarray, captions: Sequence[str], title: str) -> Drawing:
    """Pictures (examples, height, width) with ink from 0 to 1, a caption under each."""
    _, height, width = pictures.shape
    rows = -(-len(pictures) // COLUMNS)

    def panel(axes: Axes) -> None:
        for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            left, top = i % COLUMNS * 1.5 * width, i // COLUMNS * 1.5 * height
            tint(axes, picture, INK, (left, left + width, top + height, top))
            axes.text(left + width / 2, top + 1.05 * height, caption, ha="center", va="top", size=8)
        axes.set(title=title, ylim=(1.5 * rows * height, 0), aspect="equal")
        axes.set_xlim(-0.25 * width, (1.5 * COLUMNS - 0.25) * width)
        axes.axis("off")

    alt = f"Pictures. {title}: {'; '.join(captions)}."
    return draw(panel, alt, height=0.4 + 4.4 * rows / COLUMNS)


def mistakes(
    pictures: np.ndarray, true: np.ndarray, p: np.ndarray, names: Sequence[str]
) -> Drawing | None:
    """The pictures (examples, height, width) that are most confidently taken for another class.

    p (examples, classes) are the probabilities of the classes, which have `names`; true (examples,)
    are the right ones. None if no picture is wrong.
    """
    predicted = p.argmax(1)
    wrong = np.flatnonzero(predicted != true)
    if len(wrong) == 0:
        return None
    surest = wrong[np.argsort(-p[wrong].max(1), kind="stable")][: ROWS * COLUMNS]
    captions = [f"{names[true[i]]} as {names[predicted[i]]}, {p[i].max():.0%}" for i in surest]
    return examples(pictures[surest], captions, "most confidently wrong")
