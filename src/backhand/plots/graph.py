"""A computational graph: forward in one colour, solid and downwards; backward in another, dashed and upwards."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from backhand.plots.drawing import Drawing, draw_figure

# Everything is in inches, and y grows downwards.
WIDTH, LINE, PAD = (
    4.4,
    0.165,
    0.09,
)  # of the picture with three lanes at most, of a line of text, between a box and its text
LEFT, SIDE, SPINE = (
    0.06,
    1.42,
    1.78,
)  # where the boxes at the left begin and end, and those in the middle begin
WORDS = 0.42  # from there to the words on a gradient, past its arrows
LANE = 0.2  # what an edge that goes around others takes at the right
CHARACTER = 0.072  # the width of one, about


class GraphNode(NamedTuple):
    """A node of the graph, in words.

    Attributes:
      name: what it is called.
      inputs: the names of the nodes it is computed from.
      beside: whether it stands to the left of the one value it goes into, as parameters and targets do.
      formula: how it is computed, and `value`, a line on what came out.
      chain: the chain rule for its gradient, and `gradient`, a line on that; empty where it gets none.
    """

    name: str
    inputs: tuple[str, ...]
    beside: bool
    formula: str
    value: str
    chain: str = ""
    gradient: str = ""


class Box(NamedTuple):
    """Where a node stands: from left to right, from top to bottom."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        """Half its height."""
        return (self.top + self.bottom) / 2


def computational_graph(nodes: Sequence[GraphNode], title: str) -> Drawing:
    """The graph from top to bottom, its nodes in the order of computing.

    Values stand below one another, what stands beside them at their left; a value's gradient stands below it, on
    the way that it comes. An edge between values that are not neighbours goes around at the right.
    """
    spine = [node for node in nodes if not node.beside]
    beside = {node.name: [n for n in nodes if n.beside and n.name in node.inputs] for node in spine}
    order = {node.name: i for i, node in enumerate(spine)}
    around = [
        (name, node.name)
        for node in spine
        for name in dict.fromkeys(node.inputs)
        if name in order and order[name] != order[node.name] - 1
    ]
    lanes = _lanes([(order[source], order[target]) for source, target in around])
    count = max(lanes, default=-1) + 1
    full = WIDTH + LANE * max(count - 3, 0)
    right = full - LEFT - LANE * count
    boxes = _places(spine, beside, right)
    height = max(box.bottom for box in boxes.values()) + 0.08

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, full), ylim=(height, 0))
        axes.axis("off")
        _legend(axes, title)
        for node in nodes:
            _box(axes, node, boxes[node.name], gradient_inside=node.beside)
        for node, above in zip(spine, [None, *spine], strict=False):
            for side in beside[node.name]:
                _across(axes, boxes[side.name], boxes[node.name], back=bool(side.chain))
            if above is not None:
                _between(axes, above, boxes[above.name], boxes[node.name], linked=above.name in node.inputs)
        for lane, (source, target) in zip(lanes, around, strict=True):
            _around(axes, boxes[source], boxes[target], right + LANE * (lane + 0.7))

    forward = "; ".join(f"{node.formula} ({node.value})" for node in nodes)
    backward = "; ".join(f"{node.chain} ({node.gradient})" for node in reversed(nodes) if node.chain)
    alt = f"Computational graph. {title}. Forward, top to bottom: {forward}. Backward, bottom to top: {backward}."
    return draw_figure(paint, alt, full, height)


def _lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """For edges from one place to another further down, the innermost lane that no edge before has there."""
    lanes: list[int] = []
    for first, last in spans:
        taken = {lane for lane, (a, b) in zip(lanes, spans, strict=False) if a <= last and first <= b}
        lanes.append(next(lane for lane in range(len(spans)) if lane not in taken))
    return lanes


def colours() -> tuple[str, str]:
    """The theme's colours of what goes forward and of what comes back."""
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle[0], cycle[1]


def _inks() -> tuple[str, str]:
    """The same, nearer to the theme's ink: lines may be bright, small letters need contrast."""
    ink = np.array(to_rgb(mpl.rcParams["text.color"]))
    forward, backward = (to_hex(tuple(0.7 * np.array(to_rgb(colour)) + 0.3 * ink)) for colour in colours())
    return forward, backward


def _lines(text: str, width: float) -> list[str]:
    return textwrap.wrap(text, int(width / CHARACTER), subsequent_indent="  ")


def _texts(node: GraphNode, width: float) -> tuple[list[str], list[str]]:
    """What is said of a node forward, in its box, and backward, in lines that fit."""
    inside = width - 2 * PAD
    back = inside if node.beside else width - WORDS
    forward = [*_lines(node.formula, inside), *_lines(node.value, inside)]
    return forward, [*_lines(node.chain, back), *_lines(node.gradient, back)]


def _places(spine: Sequence[GraphNode], beside: dict[str, list[GraphNode]], right: float) -> dict[str, Box]:
    """Each node's box: every value as high as it can stand below the one above, with its company at its left."""
    boxes: dict[str, Box] = {}
    free, free_beside = 0.62, 0.62  # below title and legend
    for node in spine:
        forward, backward = _texts(node, right - SPINE)
        half = len(forward) * LINE / 2 + PAD
        sizes = [sum(map(len, _texts(n, SIDE - LEFT))) * LINE + 2 * PAD for n in beside[node.name]]
        stack = sum(sizes) + 0.1 * max(len(sizes) - 1, 0)
        middle = max(free + half, free_beside + stack / 2)
        boxes[node.name] = Box(SPINE, right, middle - half, middle + half)
        top = middle - stack / 2
        for company, size in zip(beside[node.name], sizes, strict=True):
            boxes[company.name] = Box(LEFT, SIDE, top, top + size)
            top += size + 0.1
        free = middle + half + len(backward) * LINE + 0.22
        free_beside = top if sizes else free_beside
    return boxes


def _legend(axes: Axes, title: str) -> None:
    forward, backward = colours()
    inks = _inks()
    axes.text(LEFT, 0.16, title, va="center", fontsize=11, weight="bold")
    for left, colour, ink, dashes, text in (
        (LEFT, forward, inks[0], "-", "forward: values"),
        (2.1, backward, inks[1], "--", "backward: gradients"),
    ):
        axes.plot([left, left + 0.4], [0.42, 0.42], color=colour, linestyle=dashes, linewidth=1.8)
        axes.text(left + 0.48, 0.42, text, va="center", fontsize=8.5, color=ink)


def _box(axes: Axes, node: GraphNode, box: Box, gradient_inside: bool) -> None:
    ink, backward_ink = mpl.rcParams["text.color"], _inks()[1]
    size = (box.right - box.left, box.bottom - box.top)
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.top), *size, boxstyle=style, fill=False, edgecolor=colours()[0], linewidth=1.4
        )
    )
    forward, backward = _texts(node, size[0])
    lines = [(line, ink, "bold" if line.strip() in node.formula else "normal") for line in forward]
    lines += [(line, backward_ink, "normal") for line in backward] if gradient_inside else []
    for i, (line, colour, weight) in enumerate(lines):
        y = box.top + PAD + (i + 0.5) * LINE
        axes.text(box.left + PAD, y, line, va="center", fontsize=8.5, color=colour, weight=weight)


def _arrow(axes: Axes, points: Sequence[tuple[float, float]], back: bool) -> None:
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points),
            arrowstyle="-|>",
            mutation_scale=9,
            color=colours()[back],
            linestyle="--" if back else "-",
            linewidth=1.5,
        )
    )


def _across(axes: Axes, side: Box, box: Box, back: bool) -> None:
    """From a box at the left into its value, and back."""
    y = min(max(side.middle, box.top + 0.1), box.bottom - 0.1)
    _arrow(axes, [(side.right, side.middle - 0.06), (box.left, y - 0.06)], back=False)
    if back:
        _arrow(axes, [(box.left, y + 0.06), (side.right, side.middle + 0.06)], back=True)


def _between(axes: Axes, node: GraphNode, above: Box, below: Box, linked: bool) -> None:
    """The gradient of the value above in words, and if it goes into the one below it, both arrows."""
    if linked:
        _arrow(axes, [(SPINE + 0.14, above.bottom), (SPINE + 0.14, below.top)], back=False)
        _arrow(axes, [(SPINE + 0.3, below.top), (SPINE + 0.3, above.bottom)], back=True)
    _, backward = _texts(node, above.right - SPINE)
    middle = (above.bottom + below.top) / 2
    for i, line in enumerate(backward):
        y = middle + (i - (len(backward) - 1) / 2) * LINE
        axes.text(SPINE + WORDS, y, line, va="center", fontsize=8.5, color=_inks()[1])


def _around(axes: Axes, source: Box, target: Box, lane: float) -> None:
    """From a value around others into one further down, and back."""
    for back, shift in ((False, 0.0), (True, 0.07)):
        down, up = source.middle + 0.08 - shift, target.middle - 0.08 + shift
        points = [(source.right, down), (lane + shift, down), (lane + shift, up), (target.right, up)]
        _arrow(axes, points[::-1] if back else points, back)
