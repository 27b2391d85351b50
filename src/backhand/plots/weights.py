"""Weights of a layer, as pictures."""

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import Drawing, draw
from backhand.plots.tints import signed, signed_bar, tint


def weight_pictures(
    w: np.ndarray, image_shape: tuple[int, int], title: str, most: int = 32
) -> Drawing:
    """The first columns of w (pixels, units) as pictures, in one scale of colour."""
    pictures = w[:, :most].T.reshape(-1, *image_shape)
    sheet = contact_sheet(pictures, columns=8 if len(pictures) > 10 else 5)
    limit = float(np.nan_to_num(np.abs(pictures)).max()) or 1.0  # a net may have diverged

    def panel(axes: Axes) -> None:
        for colour, strength in signed(sheet, limit).items():
            tint(axes, strength, colour)
        axes.set_title(title)
        axes.axis("off")
        signed_bar(axes, "weight", limit)

    shown = f"{len(pictures)} of {w.shape[1]} units, from {-limit:.2f} to {limit:.2f}"
    height = 0.9 + 4.4 * sheet.shape[0] / sheet.shape[1]
    return draw(panel, f"Weights as pictures. {title}: {shown}.", height=height)


def contact_sheet(pictures: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Pictures (count, height, width) in rows, with NaN between them, `gap` pixels wide."""
    count, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
