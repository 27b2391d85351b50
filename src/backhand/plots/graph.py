"""A computational graph: forward solid and downwards; backward dashed, upwards, another colour."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from backhand.plots.drawing import DASHES, INK, RUST, SERIES, Drawing, Options, draw_figure

# Everything is in inches, and y grows downwards.
WIDTH = 4.4  # of the picture, with three lanes at most
LINE, CHARACTER, PAD = 0.165, 0.072, 0.09  # of text: its height and width; its distance from a box
LEFT, SIDE, SPINE = 0.06, 1.42, 1.78  # where boxes at the left begin and end, and the others begin
WORDS = 0.42  # from there to the words on a gradient, past its arrows
LANE = 0.2  # the width that an edge around other boxes takes, at the right
Line: TypeAlias = tuple[str, str, str]  # of text: what it says, its colour, its weight


class GraphNode(NamedTuple):
    """A node of the graph, in words."""

    name: str
    inputs: tuple[str, ...]  # the names of the nodes that it is computed from
    beside: bool  # whether it stands to the left of the one value it goes into, as parameters do
    formula: str  # how it is computed
    value: str  # a line on what came out
    chain: str = ""  # the chain rule for its gradient; empty if it has none
    gradient: str = ""  # a line on that


class Box(NamedTuple):
    """Where a node stands, the text in it, and below it what comes back on its way up."""

    left: float
    right: float
    middle: float  # of its height
    half: float  # its height
    lines: list[Line]
    below: list[Line]


def computational_graph(nodes: Sequence[GraphNode], title: str) -> Drawing:
    """The graph from top to bottom, its nodes in the order of computing.

    Values stand below one another, and nodes `beside` them at their left; a value's gradient stands
    below it, on its way up. An edge between values that are not neighbours goes around them.
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
    height = max(box.middle + box.half for box in boxes.values()) + 0.08

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, full), ylim=(height, 0))
        axes.axis("off")
        axes.text(LEFT, 0.16, title, va="center", fontsize=11, weight="bold")
        legend = ((LEFT, "forward: values", INK), (2.1, "backward: gradients", RUST))
        for back, (left, text, colour) in enumerate(legend):
            axes.plot([left, left + 0.4], [0.42, 0.42], SERIES[back], ls=DASHES[back])
            _write(axes, left + 0.48, 0.42, (text, colour, "normal"))
        for box in boxes.values():
            _box(axes, box)
        for node, above in zip(spine, [None, *spine], strict=False):
            box = boxes[node.name]
            for side in beside[node.name]:
                _across(axes, boxes[side.name], box, back=bool(side.chain))
            if above is not None:
                _between(axes, boxes[above.name], box, linked=above.name in node.inputs)
        for lane, (source, target) in zip(lanes, around, strict=True):
            _around(axes, boxes[source], boxes[target], right + LANE * (lane + 0.7))

    forward = "; ".join(f"{node.formula} ({node.value})" for node in nodes)
    backward = "; ".join(f"{n.chain} ({n.gradient})" for n in reversed(nodes) if n.chain)
    alt = f"Computational graph. {title}. Forward, top to bottom: {forward}."
    return draw_figure(paint, f"{alt} Backward, bottom to top: {backward}.", full, height)


def _lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each edge, from a place to one further down: the innermost that is free there."""
    lanes: list[int] = []
    for first, last in spans:
        taken = {k for k, (a, b) in zip(lanes, spans, strict=False) if a <= last and first <= b}
        lanes.append(next(lane for lane in range(len(spans)) if lane not in taken))
    return lanes


def _lines(node: GraphNode, width: float) -> tuple[list[Line], list[Line]]:
    """The text in a node's box, and of its gradient below it, in lines that fit.

    Beside a value there is no room below, and all of it stands in the box.
    """

    def wrapped(text: str, room: float, colour: str, weight: str = "normal") -> list[Line]:
        lines = textwrap.wrap(text, int(room / CHARACTER), subsequent_indent="  ")
        return [(line, colour, weight) for line in lines]

    inside = width - 2 * PAD
    back = inside if node.beside else width - WORDS
    forward = wrapped(node.formula, inside, INK, "bold") + wrapped(node.value, inside, INK)
    backward = wrapped(node.chain, back, RUST) + wrapped(node.gradient, back, RUST)
    return (forward + backward, []) if node.beside else (forward, backward)


def _places(
    spine: Sequence[GraphNode], beside: dict[str, list[GraphNode]], right: float
) -> dict[str, Box]:
    """Each node's box: every value as high as it can stand, with its company at its left."""
    boxes: dict[str, Box] = {}
    free = free_beside = 0.62  # below title and legend
    for node in spine:
        lines, below = _lines(node, right - SPINE)
        half = len(lines) * LINE / 2 + PAD
        company = [(side.name, _lines(side, SIDE - LEFT)[0]) for side in beside[node.name]]
        tall = sum(len(text) * LINE + 2 * PAD + 0.1 for _, text in company) - 0.1
        middle = max(free + half, free_beside + tall / 2)
        boxes[node.name] = Box(SPINE, right, middle, half, lines, below)
        top = middle - tall / 2
        for name, text in company:
            size = len(text) * LINE / 2 + PAD
            boxes[name] = Box(LEFT, SIDE, top + size, size, text, [])
            free_beside = top = top + 2 * size + 0.1
        free = middle + half + len(below) * LINE + 0.22
    return boxes


def _write(axes: Axes, x: float, y: float, *lines: Line) -> None:
    for i, (text, colour, weight) in enumerate(lines):
        axes.text(x, y + i * LINE, text, va="center", fontsize=8.5, color=colour, weight=weight)


def _box(axes: Axes, box: Box) -> None:
    corner, size = (box.left, box.middle - box.half), (box.right - box.left, 2 * box.half)
    look: Options = {"fill": False, "linewidth": 1.4, "edgecolor": SERIES[0]}
    axes.add_patch(FancyBboxPatch(corner, *size, "round,pad=0,rounding_size=0.06", **look))
    _write(axes, box.left + PAD, corner[1] + PAD + LINE / 2, *box.lines)


def _arrow(axes: Axes, *points: tuple[float, float], back: bool = False) -> None:
    look: Options = {"color": SERIES[back], "linestyle": DASHES[back], "linewidth": 1.5}
    axes.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=9, **look))


def _across(axes: Axes, side: Box, box: Box, back: bool) -> None:
    """From a box at the left into its value, and back."""
    start, reach = side.middle, box.half - 0.1
    end = min(max(start, box.middle - reach), box.middle + reach)
    _arrow(axes, (side.right, start - 0.06), (box.left, end - 0.06))
    if back:
        _arrow(axes, (box.left, end + 0.06), (side.right, start + 0.06), back=True)


def _between(axes: Axes, above: Box, below: Box, linked: bool) -> None:
    """The gradient of the value above in words; and both arrows, if it goes into the one below."""
    start, end = above.middle + above.half, below.middle - below.half
    if linked:
        _arrow(axes, (SPINE + 0.14, start), (SPINE + 0.14, end))
        _arrow(axes, (SPINE + 0.3, end), (SPINE + 0.3, start), back=True)
    first = (start + end - (len(above.below) - 1) * LINE) / 2
    _write(axes, SPINE + WORDS, first, *above.below)


def _around(axes: Axes, source: Box, target: Box, lane: float) -> None:
    """From a value around others into one further down, and back."""
    for back, shift in ((False, 0.0), (True, 0.07)):
        down, up, out = source.middle + 0.08 - shift, target.middle - 0.08 + shift, lane + shift
        points = [(source.right, down), (out, down), (out, up), (target.right, up)]
        _arrow(axes, *(points[::-1] if back else points), back=back)
