"""Pictures of digits, of weights, and of who is taken for whom."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import Drawing, draw


def weight_pictures(w: np.ndarray, image_shape: tuple[int, int], title: str, most: int = 32) -> Drawing:
    """The first columns of w (pixels, units) as pictures: what each unit looks for. All share one scale."""
    pictures = w[:, :most].T.reshape(-1, *image_shape)
    sheet = contact_sheet(pictures, columns=8 if len(pictures) > 10 else 5)
    limit = float(np.nan_to_num(np.abs(pictures)).max())  # a net that diverged has its picture too

    def panel(axes: Axes) -> None:
        image = axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
        axes.figure.colorbar(image, ax=axes, label="weight", shrink=0.7, aspect=30, location="bottom")

    alt = f"Weights as pictures. {title}: {len(pictures)} of {w.shape[1]} units, from {-limit:.2f} to {limit:.2f}."
    return draw(panel, alt, height=0.9 + 4.4 * sheet.shape[0] / sheet.shape[1])


def confusion(true: np.ndarray, predicted: np.ndarray, class_names: Sequence[str], title: str) -> Drawing:
    """A confusion matrix: rows are what was so, columns what was said. Errors are tinted, the diagonal is not."""
    counts = np.zeros((len(class_names), len(class_names)), np.int64)
    np.add.at(counts, (true, predicted), 1)
    errors = np.where(np.eye(len(counts), dtype=bool), 0, counts)

    def panel(axes: Axes) -> None:
        axes.imshow(
            errors,
            cmap="Oranges",
            vmin=0,
            vmax=max(2 * errors.max(), 1),
            alpha=np.where(errors > 0, 1.0, 0.0),
        )
        for (row, column), count in np.ndenumerate(counts):
            if row == column:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9)
            elif count:  # dark on orange in either theme
                axes.text(
                    column,
                    row,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="#1c2127",
                    weight="bold",
                )
        axes.set_xticks(range(len(class_names)), class_names)
        axes.set_yticks(range(len(class_names)), class_names)
        axes.set(title=title, xlabel="predicted", ylabel="true")

    most = [f"{errors[i, j]} × {class_names[i]} as {class_names[j]}" for i, j in _largest(errors, 3)]
    alt = f"Confusion matrix. {title}: {errors.sum()} of {counts.sum()} wrong; most often {', '.join(most) or 'none'}."
    return draw(panel, alt, height=4.2)


def examples(pictures: np.ndarray, captions: Sequence[str], title: str, columns: int = 4) -> Drawing:
    """Pictures (examples, height, width) with ink from 0 to 1, a caption under each."""
    _, height, width = pictures.shape
    rows = -(-len(pictures) // columns)

    def panel(axes: Axes) -> None:
        for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            left, top = i % columns * 1.5 * width, i // columns * 1.5 * height
            extent = (left, left + width, top + height, top)
            axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, extent=extent, interpolation="nearest")
            axes.text(left + width / 2, top + 1.05 * height, caption, ha="center", va="top", fontsize=8)
        axes.set(
            title=title, xlim=(-0.25 * width, (1.5 * columns - 0.25) * width), ylim=(1.5 * rows * height, 0)
        )
        axes.axis("off")

    alt = f"Pictures. {title}: {'; '.join(captions)}."
    return draw(panel, alt, height=0.4 + 4.4 * rows / columns)


def mistakes(
    pictures: np.ndarray, true: np.ndarray, p: np.ndarray, class_names: Sequence[str], most: int = 12
) -> Drawing | None:
    """The pictures (examples, height, width) taken for another class with most confidence; None where none was.

    p (examples, classes) are the probabilities given to each class, true (examples,) the right ones.
    """
    predicted = p.argmax(1)
    wrong = np.flatnonzero(predicted != true)
    if len(wrong) == 0:
        return None
    surest = wrong[np.argsort(-p[wrong].max(1), kind="stable")][:most]
    captions = [f"{class_names[true[i]]} as {class_names[predicted[i]]}, {p[i].max():.0%}" for i in surest]
    return examples(pictures[surest], captions, "most confidently wrong")


def _largest(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Where the largest counts above 0 stand, largest first."""
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    return [
        (int(i), int(j)) for i, j in zip(*np.unravel_index(order, counts.shape), strict=True) if counts[i, j]
    ]


def contact_sheet(pictures: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Pictures (count, height, width) laid out in rows, NaN between them, `gap` pixels wide."""
    count, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
