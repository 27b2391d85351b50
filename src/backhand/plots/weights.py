"""Weights of a layer, as pictures."""

import numpy as np
from matplotlib.axes import Axes

from backhand.plots.drawing import Drawing, draw
from backhand.plots.tints import signed, signed_bar


def weight_pictures(
    w: np.ndarray, image_shape: tuple[int, int], title: str, most: int = 32
) -> Drawing:
    """The first columns of w (pixels, units) as pictures, in one scale of colour."""
    pictures = w[:, :most].T.reshape(-1, *image_shape)
    sheet = contact_sheet(pictures, columns=8 if len(pictures) > 10 else 5)
    limit = float(np.nan_to_num(np.abs(pictures)).max()) or 1.0  # a net may have diverged

    def panel(axes: Axes) -> None:
        signed(axes, sheet, limit)
        axes.set(title=title, aspect="equal")
        axes.axis("off")
        signed_bar(axes, "weight", limit)

    alt = f"Weights of {len(pictures)} of {w.shape[1]} units. {title}: within ±{limit:.2f}."
    return draw(panel, alt, height=0.9 + 4.4 * sheet.shape[0] / sheet.shape[1])


def contact_sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (count, height, width) in rows, with a pixel of NaN between them."""
    count, height, width = pictures.shape
    rows = -(-count // columns)
    cells = np.full((rows * columns, height + 1, width + 1), np.nan)
    cells[:count, :height, :width] = pictures
    lines = cells.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return lines.reshape(rows * (height + 1), -1)[:-1, :-1]
