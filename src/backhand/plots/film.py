"""The boundary through training: one SVG with all the frames, which CSS shows in turn."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from backhand.plots.boundary import Plane, draw_boundary, draw_points, draw_regions
from backhand.plots.curves import log_scale
from backhand.plots.drawing import INK, Drawing, Options, draw_figure, legend_below

SECONDS, LAST = 0.12, 3.0  # how long a frame is shown, and the last one


def animate(
    frames: Sequence[tuple[int, np.ndarray]], curves: Mapping[str, Mapping[str, Sequence[float]]],
    plane: Plane, title: str,
) -> Drawing:  # fmt: skip
    """The boundary through training, beside the curves with a line at the epoch.

    `frames` are pairs of an epoch, from 0 up, and the probabilities then; `curves["loss"]["train"]`
    has a value for each epoch from 1 up to the last frame's, and so for "accuracy" and
    "validation". A reader who asks for less motion sees the last frame alone.
    """
    last = frames[-1][0]

    def paint(frames: Sequence[tuple[int, np.ndarray]], figure: Figure) -> None:
        window, loss, accuracy = figure.subplot_mosaic("wl;wa", width_ratios=[1.35, 1]).values()
        panels = {"loss": loss, "accuracy": accuracy}
        draw_points(window, plane)
        window.set_title(" ")  # room for what the frames say
        for measure, series in curves.items():
            for split, values in series.items():
                panels[measure].plot(range(1, last + 1), values, label=split)
            panels[measure].set(xlabel="epoch", ylabel=measure, xlim=(0, last))
            panels[measure].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        losses = np.array(list(curves["loss"].values()))
        if losses.max() > 10 * losses.min() > 0:  # a narrower range is better on a plain scale
            log_scale(loss, "y")
        loss.set(ylabel="loss, nats", xlabel="")
        loss.tick_params(labelbottom=False)
        loss.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1)
        figure.suptitle(title, weight="bold", fontsize=11, parse_math=False)  # it names a file
        legend_below(figure, window)
        figure.draw_without_rendering()  # lays it out
        figure.set_layout_engine("none")
        above: Options = {"ha": "center", "transform": window.transAxes}
        for number, (epoch, probabilities) in enumerate(frames):
            for artist in (
                *draw_regions(window, probabilities, plane),
                *draw_boundary(window, probabilities, plane),
                window.text(0.5, 1.03, f"epoch {epoch} of {last}", **above),
                *(panels[name].axvline(epoch, color=INK, ls="-", lw=1) for name in curves),
            ):
                artist.set_gid(f"{artist.get_gid() or ''} frame frame-{number}".strip())

    right = ", ".join(f"{split} {y[-1]:.3g}" for split, y in curves["accuracy"].items())
    alt = f"The boundary in the plane, from epoch 0 to {last}. {title}. Accuracy at last: {right}."
    moving = draw_figure(partial(paint, frames), alt, 6.4, 3.8).svg
    moving = moving.replace("</style>", f"{_motion(len(frames))}</style>", 1)
    still = draw_figure(partial(paint, frames[-1:]), alt, 6.4, 3.8).svg
    return Drawing(moving, alt, still)


def _motion(count: int) -> str:
    """The CSS that shows each of `count` frames in its turn."""
    length = SECONDS * (count - 1) + LAST
    frame, last = (f"{100 * seconds / length:.4f}%" for seconds in (SECONDS, LAST))
    delays = (f".frame-{n}{{animation-delay:{n * SECONDS - length:.2f}s}}" for n in range(count))
    return f"""
@keyframes frame {{ from {{ visibility: visible }} {frame}, to {{ visibility: hidden }} }}
@keyframes last {{ from {{ visibility: visible }} {last}, to {{ visibility: hidden }} }}
.frame {{ visibility: hidden; animation: frame {length}s step-end infinite }}
.frame-{count - 1} {{ visibility: visible; animation-name: last }}
{"".join(delays)}
@media (prefers-reduced-motion: reduce) {{ .frame {{ animation: none }} }}"""
