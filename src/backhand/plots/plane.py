"""Pictures of the plane: which class a net gives each point of it, how surely, and what its units see there.

Where a picture has probabilities, they are (rows, columns, classes) over a window of the plane, the first row
at its bottom. A region has its class's colour, the fainter the less sure; classes are told apart by marker too.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from backhand.plots.drawing import THEMES, Drawing, draw, draw_figure
from backhand.plots.pictures import contact_sheet

MARKERS = "os^DvPX*"
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the second class's probability: the lines drawn,
WIDTHS = (0.7, 0.7, 2.0, 0.7, 0.7)  # and how wide
MOST_POINTS = {"train": 800, "validation": 200}  # more would hide the plane, and weigh down the page


class Plane(NamedTuple):
    """A window of the plane, and the points in it.

    Attributes:
      extent: left, right, bottom and top.
      splits: "train" and "validation", each (x (points, 2), y (points,)).
      class_names, axis_names: what labels 0, 1, … and the two coordinates are called.
    """

    extent: tuple[float, float, float, float]
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]]
    class_names: Sequence[str]
    axis_names: Sequence[str]


class Animation(NamedTuple):
    """A moving picture: GIFs in a light and a dark theme, the last frame of each as PNG, and the whole in words."""

    light: bytes
    dark: bytes
    light_still: bytes
    dark_still: bytes
    alt: str


def boundary(probabilities: np.ndarray, plane: Plane, title: str) -> Drawing:
    """The regions of the classes, as sure as the net is; lines of equal probability where there are two."""
    legend_rows = _legend_rows(plane)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        _regions(axes, probabilities, plane)
        _lines(axes, probabilities, plane)
        _points(axes, plane)
        axes.set_title(title)
        _colour_bar(figure, axes, plane)
        _legend(figure, plane)

    shares = np.bincount(probabilities.argmax(2).ravel(), minlength=len(plane.class_names))
    named = list(zip(plane.class_names, shares / shares.sum(), strict=True))
    regions = ", ".join(f"{name} {share:.0%}" for name, share in named[:8])
    counts = " and ".join(f"{len(y)} {split}" for split, (_, y) in plane.splits.items())
    alt = (
        f"A map of the plane of {plane.axis_names[0]} and {plane.axis_names[1]}, with {counts} points. {title}. "
        f"Of the window, by the likeliest class: {regions}{', …' if len(named) > 8 else ''}."
    )
    return draw_figure(paint, alt, 4.4, 4.1 + 0.22 * legend_rows)


def activations(values: np.ndarray, probabilities: np.ndarray, plane: Plane, title: str) -> Drawing:
    """What each unit of a layer gives over the plane, values (units, rows, columns), all in one scale of colour.

    The scale ends where 5 % of the values lie beyond it. The line in each map is the net's boundary.
    """
    units, cells, _ = values.shape
    columns, gap = min(4, units), 3 * cells // 10
    rows = -(-units // columns)
    limit = float(np.quantile(np.abs(np.nan_to_num(values)), 0.95)) or 1.0
    sheet = contact_sheet(values[:, ::-1], columns, gap)
    leads = [
        contact_sheet(np.repeat(lead[None, ::-1], units, axis=0), columns, gap)
        for lead in _leads(probabilities)
    ]

    def panel(axes: Axes) -> None:
        ink, paper, colours = _theme()
        scale = LinearSegmentedColormap.from_list("activation", [colours[3], paper, colours[2]])
        image = axes.imshow(sheet, cmap=scale, vmin=-limit, vmax=limit, interpolation="nearest")
        for lead in leads:
            _contours(axes, lead, [0.0], ink, [0.7])
        for unit in range(units):
            left, top = (i * (cells + gap) for i in (unit % columns, unit // columns))
            axes.add_patch(Rectangle((left, top), cells, cells, fill=False, edgecolor=ink, linewidth=0.5))
            axes.text(left + cells / 2, top - 2, f"unit {unit + 1}", ha="center", va="bottom", fontsize=8)
        x1, x2 = plane.extent[:2], plane.extent[2:]
        axes.set_xticks(*_ticks(x1, [i * (cells + gap) for i in range(columns)], cells), fontsize=7)
        axes.set_yticks(*_ticks(x2[::-1], [i * (cells + gap) for i in range(rows)], cells), fontsize=7)
        axes.set(title=title, xlabel=_shown(plane.axis_names[0]), ylabel=_shown(plane.axis_names[1]))
        axes.set(xlim=(-1, sheet.shape[1]), ylim=(sheet.shape[0], -gap))
        axes.spines[:].set_visible(False)
        axes.figure.colorbar(
            image, ax=axes, label="activation (line: the boundary)", location="bottom", aspect=40, shrink=0.8,
            extend="both",
        )  # fmt: skip

    low, high = (float(end) for end in (np.nan_to_num(values).min(), np.nan_to_num(values).max()))
    alt = f"Maps of the plane, one a unit. {title}: activations from {low:.3g} to {high:.3g}."
    return draw(panel, alt, height=1.5 + 3.7 * rows / columns)


def animate(
    frames: Sequence[tuple[int, np.ndarray]],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    plane: Plane,
    title: str,
) -> Animation:
    """The boundary through training, and the curves beside it as they grow.

    `frames` are pairs of an epoch, from 0 up, and the probabilities then; `curves["loss"]["train"]` has a value
    for each epoch from 1 up to the last frame's, and so for "accuracy" and "validation".
    """
    pictures = {name: _film(frames, curves, plane, title, theme) for name, theme in THEMES.items()}
    (light, light_still), (dark, dark_still) = pictures.values()
    ends = "; ".join(
        f"{measure} in the end {', '.join(f'{split} {values[-1]:.3g}' for split, values in series.items())}"
        for measure, series in curves.items()
    )
    alt = (
        f"The boundary in the plane as it changes from epoch {frames[0][0]} to {frames[-1][0]}, the curves growing "
        f"beside it. {title}; {ends}."
    )
    return Animation(light, dark, light_still, dark_still, alt)


def _film(
    frames: Sequence[tuple[int, np.ndarray]],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    plane: Plane,
    title: str,
    theme: Mapping[Any, Any],
) -> tuple[bytes, bytes]:
    """A GIF, and a PNG of its last frame, in one theme. What stands still is drawn once, what moves over it."""
    last = frames[-1][0]
    with mpl.rc_context({**theme, "font.size": 12, "axes.titlesize": 13}):
        figure = Figure(figsize=(6.4, 4.0 + 0.25 * _legend_rows(plane)), dpi=115)
        canvas: Any = FigureCanvasAgg(figure)
        panels = figure.subplot_mosaic([["plane", "loss"], ["plane", "accuracy"]], width_ratios=[1.35, 1])
        image = _regions(panels["plane"], frames[-1][1], plane)
        points = _points(panels["plane"], plane)
        _legend(figure, plane)
        grown = []
        for measure, series in curves.items():
            axes = panels[measure]
            for split, values in series.items():
                (line,) = axes.plot(range(1, last + 1), values, label=split)
                grown.append((line, values))
            axes.set(xlabel="epoch", ylabel=measure, xlim=(0, last))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        panels["loss"].set(ylabel="loss, nats", xlabel="")
        losses = np.array(list(curves["loss"].values()))
        if losses.max() > 10 * losses.min() > 0:  # a narrower range is better read on a plain scale
            panels["loss"].set_yscale("log")
        panels["loss"].tick_params(labelbottom=False)
        panels["loss"].legend(
            fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1
        )
        heading = panels["plane"].set_title(f"epoch {last} of {last}")
        figure.suptitle(title, weight="bold", fontsize=13, parse_math=False)  # it names a user's file
        figure.draw_without_rendering()  # lays it out
        figure.set_layout_engine("none")

        moving = [image, heading, *points, *(line for line, _ in grown)]
        for artist in moving:
            artist.set_animated(True)  # left out where the figure is drawn
        canvas.draw()
        standing = canvas.copy_from_bbox(figure.bbox)
        pictures = []
        for epoch, probabilities in frames:
            image.set_data(_shade(probabilities, *_theme()[1:]))
            heading.set_text(f"epoch {epoch} of {last}")
            for line, values in grown:
                line.set_data(range(1, epoch + 1), values[:epoch])
            lines = _lines(panels["plane"], probabilities, plane)
            canvas.restore_region(standing)
            for artist in sorted([*moving, *lines], key=lambda artist: artist.get_zorder()):
                figure.draw_artist(artist)
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3]))
            if epoch != last:
                for contours in lines:
                    contours.remove()
        for artist in moving:
            artist.set_animated(False)
        still = io.BytesIO()
        figure.savefig(still, dpi=190, metadata={"Software": None})

    palette = pictures[-1].quantize(64)  # one for all, so that what stands still is the same in each
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    gif = io.BytesIO()
    indexed[0].save(
        gif, format="GIF", save_all=True, append_images=indexed[1:], loop=0,
        duration=[120] * (len(indexed) - 1) + [3000],
    )  # fmt: skip
    colours = Image.open(still).convert("RGB").quantize(256)
    still = io.BytesIO()
    colours.save(still, format="PNG", optimize=True)
    return gif.getvalue(), still.getvalue()


def _regions(axes: Axes, probabilities: np.ndarray, plane: Plane) -> Any:
    _, paper, colours = _theme()
    image = axes.imshow(
        _shade(probabilities, paper, colours), origin="lower", extent=plane.extent, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.set(xlabel=_shown(plane.axis_names[0]), ylabel=_shown(plane.axis_names[1]))
    axes.set_box_aspect(1)
    return image


def _shade(probabilities: np.ndarray, paper: str, colours: Sequence[str]) -> np.ndarray:
    """The likeliest class's colour, faded to paper as its probability falls to 1/classes, in ten steps."""
    classes = probabilities.shape[-1]
    top = np.nan_to_num(probabilities, nan=1 / classes)
    sureness = (top.max(-1) * classes - 1) / (classes - 1)
    depth = 0.55 * np.ceil(10 * np.clip(sureness, 0, 1))[..., None] / 10
    full = np.array([to_rgb(colours[k % len(colours)]) for k in range(classes)])[top.argmax(-1)]
    return np.asarray(full * depth + np.array(to_rgb(paper)) * (1 - depth))


def _lines(axes: Axes, probabilities: np.ndarray, plane: Plane) -> list[Any]:
    """The boundary in bold, and for two classes thin lines of equal probability."""
    ink, _, _ = _theme()
    placed = {"origin": "lower", "extent": plane.extent}
    if len(plane.class_names) == 2:
        return _contours(axes, probabilities[:, :, 1], LEVELS, ink, WIDTHS, **placed)
    return [
        line for lead in _leads(probabilities) for line in _contours(axes, lead, [0.0], ink, [2.0], **placed)
    ]


def _leads(probabilities: np.ndarray) -> list[np.ndarray]:
    """Each class's probability, less the best of the others': 0 on its boundary. Two classes share theirs."""
    classes = probabilities.shape[-1]
    return [
        probabilities[:, :, k] - np.delete(probabilities, k, axis=2).max(2)
        for k in range(1 if classes == 2 else 0, classes)
    ]


def _contours(
    axes: Axes, z: np.ndarray, levels: Sequence[float], ink: str, widths: Sequence[float], **placed: Any
) -> list[Any]:
    """Lines where z is at the levels it passes; of the others Matplotlib would warn."""
    known = z[np.isfinite(z)]
    passed = [
        (lv, w) for lv, w in zip(levels, widths, strict=True) if (known < lv).any() and (known > lv).any()
    ]
    if not passed:
        return []
    levels, widths = zip(*passed, strict=True)
    return [axes.contour(z, levels, colors=ink, linewidths=widths, linestyles="-", **placed)]


def _ticks(ends: tuple[float, float], starts: Sequence[float], cells: int) -> tuple[list[float], list[str]]:
    """Where round numbers between the ends lie in maps of so many cells that start there, and the numbers."""
    first, last = ends
    shown = [t for t in MaxNLocator(2).tick_values(*sorted(ends)) if min(ends) <= t <= max(ends)]
    places = [start + cells * (t - first) / (last - first) for start in starts for t in shown]
    return places, [f"{t:g}" for t in shown] * len(starts)


def _points(axes: Axes, plane: Plane) -> list[Any]:
    """The points: filled to train, hollow to validate, a marker and a colour a class."""
    _, paper, colours = _theme()
    drawn = []
    for split, (x, y) in plane.splits.items():
        x, y = x[: MOST_POINTS[split]], y[: MOST_POINTS[split]]
        drawn += [
            axes.scatter(*x[y == k].T, zorder=3, **_marker(int(k), split, paper, colours))
            for k in np.unique(y)
        ]
    axes.set(xlim=plane.extent[:2], ylim=plane.extent[2:])
    return drawn


def _marker(k: int, split: str, paper: str, colours: Sequence[str]) -> dict[str, Any]:
    colour, marker = colours[k % len(colours)], MARKERS[k % len(MARKERS)]
    if split == "train":
        return {"marker": marker, "s": 20, "facecolor": colour, "edgecolor": paper, "linewidth": 0.6}
    return {"marker": marker, "s": 22, "facecolor": paper, "edgecolor": colour, "linewidth": 1.3}


def _colour_bar(figure: Figure, axes: Axes, plane: Plane) -> None:
    """What depth of colour means which probability, with the levels of the lines."""
    ink, paper, colours = _theme()
    classes = len(plane.class_names)
    if classes == 2:
        p = np.linspace(0, 1, 201)
        scale, norm = ListedColormap(_shade(np.stack([1 - p, p], 1), paper, colours)), Normalize(0, 1)
        label = f"probability of {_shown(plane.class_names[1])}"
    else:
        p = np.linspace(1 / classes, 1, 101)
        other = np.repeat((1 - p)[:, None] / (classes - 1), classes - 1, axis=1)
        scale = ListedColormap(_shade(np.hstack([p[:, None], other]), paper, [ink]))
        norm = Normalize(1 / classes, 1)
        label = "probability of the likeliest class"
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm, scale), ax=axes, label=label, shrink=0.85, aspect=25)
    if classes == 2:
        bar.set_ticks([0, *LEVELS, 1])
        for level, width in zip(LEVELS, WIDTHS, strict=True):
            bar.ax.axhline(level, color=ink, linewidth=width)


def _legend(figure: Figure, plane: Plane) -> None:
    ink, paper, colours = _theme()

    def handle(k: int, split: str, colours: Sequence[str]) -> Line2D:
        style = _marker(k, split, paper, colours)
        return Line2D(
            [], [], linestyle="", marker=style["marker"], markerfacecolor=style["facecolor"],
            markeredgecolor=style["edgecolor"], markeredgewidth=style["linewidth"], markersize=6,
        )  # fmt: skip

    handles = [handle(k, "train", colours) for k in range(len(plane.class_names))]
    handles += [handle(0, split, [ink]) for split in plane.splits]
    figure.legend(
        handles, [*map(_shown, plane.class_names), *plane.splits], loc="outside lower center",
        ncols=_legend_columns(plane), handletextpad=0.1, columnspacing=1.0,
    )  # fmt: skip


def _legend_columns(plane: Plane) -> int:
    return 4 if max(map(len, plane.class_names)) <= 10 else 2


def _legend_rows(plane: Plane) -> int:
    return math.ceil((len(plane.class_names) + len(plane.splits)) / _legend_columns(plane))


def _theme() -> tuple[str, str, list[str]]:
    """Ink, paper and the colours of the theme that is being drawn."""
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()
    return mpl.rcParams["text.color"], mpl.rcParams["axes.facecolor"], cycle["color"]


def _shown(name: str) -> str:
    """A user's own word; Matplotlib would take $ for the start of a formula, and _ for a name not to show.

    XML, and so SVG, can't hold control characters in any form.
    """
    short = name if len(name) <= 24 else name[:23] + "…"
    short = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short)
    return short.replace("$", r"\$").replace("_", " ", 1 if short.startswith("_") else 0)
