"""A computational graph: forward solid and downwards; backward dashed, upwards, another colour."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

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


class GraphNode(NamedTuple):
    """A node of the graph, in words.

    Attributes:
      name: what it is called.
      inputs: the names of the nodes it is computed from.
      beside: whether it stands to the left of the one value it goes into, as parameters do.
      formula: how it is computed, and `value`, a line on what came out.
      chain: the chain rule for its gradient, and `gradient`, a line on that; empty if it has none.
    """

    name: str
    inputs: tuple[str, ...]
    beside: bool
    formula: str
    value: str
    chain: str = ""
    gradient: str = ""


class Box(NamedTuple):
    """Where a node stands."""

    left: float
    right: float
    middle: float  # of its height
    half: float  # its height


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
        for left, back, text in (
            (LEFT, False, "forward: values"),
            (2.1, True, "backward: gradients"),
        ):
            axes.plot([left, left + 0.4], [0.42, 0.42], SERIES[back], ls=DASHES[back])
            _text(axes, left + 0.48, 0.42, text, RUST if back else INK)
        for node in nodes:
            _box(axes, node, boxes[node.name])
        for node, above in zip(spine, [None, *spine], strict=False):
            box = boxes[node.name]
            for side in beside[node.name]:
                _across(axes, boxes[side.name], box, back=bool(side.chain))
            if above is not None:
                _between(axes, above, boxes[above.name], box, linked=above.name in node.inputs)
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


def _lines(node: GraphNode, width: float) -> tuple[list[str], list[str]]:
    """The text on a node forward, in its box, and backward, in lines that fit."""
    inside = width - 2 * PAD

    def wrapped(wide: float, *texts: str) -> list[str]:
        lines = (textwrap.wrap(t, int(wide / CHARACTER), subsequent_indent="  ") for t in texts)
        return [line for several in lines for line in several]

    back = inside if node.beside else width - WORDS
    return wrapped(inside, node.formula, node.value), wrapped(back, node.chain, node.gradient)


def _places(
    spine: Sequence[GraphNode], beside: dict[str, list[GraphNode]], right: float
) -> dict[str, Box]:
    """Each node's box: every value as high as it can stand, with its company at its left."""
    boxes: dict[str, Box] = {}
    free = free_beside = 0.62  # below title and legend
    for node in spine:
        forward, backward = _lines(node, right - SPINE)
        half = len(forward) * LINE / 2 + PAD
        company = beside[node.name]
        sizes = [sum(map(len, _lines(n, SIDE - LEFT))) * LINE + 2 * PAD for n in company]
        stack = sum(sizes) + 0.1 * max(len(sizes) - 1, 0)
        middle = max(free + half, free_beside + stack / 2)
        boxes[node.name] = Box(SPINE, right, middle, half)
        top = middle - stack / 2
        for side, size in zip(company, sizes, strict=True):
            boxes[side.name] = Box(LEFT, SIDE, top + size / 2, size / 2)
            top += size + 0.1
        free = middle + half + len(backward) * LINE + 0.22
        free_beside = top if sizes else free_beside
    return boxes


def _text(axes: Axes, x: float, y: float, text: str, colour: str, weight: str = "normal") -> None:
    axes.text(x, y, text, va="center", fontsize=8.5, color=colour, weight=weight)


def _box(axes: Axes, node: GraphNode, box: Box) -> None:
    top, width = box.middle - box.half, box.right - box.left
    look: Options = {"boxstyle": "round,pad=0,rounding_size=0.06", "fill": False, "linewidth": 1.4}
    axes.add_patch(
        FancyBboxPatch((box.left, top), width, 2 * box.half, edgecolor=SERIES[0], **look)
    )
    forward, backward = _lines(node, width)
    for i, line in enumerate([*forward, *(backward if node.beside else ())]):
        weight = "bold" if i < len(forward) and line.strip() in node.formula else "normal"
        colour = INK if i < len(forward) else RUST
        _text(axes, box.left + PAD, top + PAD + (i + 0.5) * LINE, line, colour, weight)


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


def _between(axes: Axes, node: GraphNode, above: Box, below: Box, linked: bool) -> None:
    """The gradient of the value above in words; and both arrows, if it goes into the one below."""
    start, end = above.middle + above.half, below.middle - below.half
    if linked:
        _arrow(axes, (SPINE + 0.14, start), (SPINE + 0.14, end))
        _arrow(axes, (SPINE + 0.3, end), (SPINE + 0.3, start), back=True)
    _, backward = _lines(node, above.right - SPINE)
    first = (start + end - (len(backward) - 1) * LINE) / 2
    for i, line in enumerate(backward):
        _text(axes, SPINE + WORDS, first + i * LINE, line, RUST)


def _around(axes: Axes, source: Box, target: Box, lane: float) -> None:
    """From a value around others into one further down, and back."""
    for back, shift in ((False, 0.0), (True, 0.07)):
        down, up, out = source.middle + 0.08 - shift, target.middle - 0.08 + shift, lane + shift
        points = [(source.right, down), (out, down), (out, up), (target.right, up)]
        _arrow(axes, *(points[::-1] if back else points), back=back)
