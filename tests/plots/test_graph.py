import re
import xml.etree.ElementTree as ET

import pytest

from backhand import plots
from backhand.plots import GraphNode

CHAIN = [
    GraphNode("x", (), False, "x", "4×2, norm 1", "dx = dz wᵀ", "norm 5"),
    GraphNode("w", (), True, "w", "2×3, norm 2", "dw = xᵀ dz", "norm 6"),
    GraphNode("z", ("x", "w"), False, "z = x w", "4×3, norm 3", "dz = z / N", "norm 7"),
    GraphNode("y", (), True, "y", "4 labels"),
    GraphNode("L", ("z", "y"), False, "L = loss(z, y)", "0.5"),
]
LONG = "dh = dz ⊙ (Φ(z) + z ⊙ φ(z)) and then some more of that"
AROUND = [
    GraphNode("x", (), False, "x", "4×2", LONG),
    GraphNode("h", ("x",), False, "h = f(x)", "4×2", "dh = ds"),
    GraphNode("s", ("x", "h"), False, "s = x + h", "4×2"),
]


def test_both_ways_are_in_words_and_colours_of_their_own():
    drawing = plots.computational_graph(CHAIN, "The net 2-3")
    for svg, (forward, backward) in zip(
        drawing[:2], (("#0072b2", "#d55e00"), ("#56b4e9", "#e69f00")), strict=True
    ):
        words = {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
        assert {"The net 2-3", "forward: values", "backward: gradients"} <= words
        for node in CHAIN:
            assert {node.formula, node.value} <= words
            assert {node.chain, node.gradient} <= words | {""}
        dashed = [style for style in re.findall(r'style="([^"]*)"', svg) if "stroke-dasharray" in style]
        assert dashed
        assert all(backward in style for style in dashed)
        assert forward in svg
    assert (
        "Backward, bottom to top: dz = z / N (norm 7); dw = xᵀ dz (norm 6); dx = dz wᵀ (norm 5)."
        in drawing.alt
    )
    assert drawing == plots.computational_graph(CHAIN, "The net 2-3")


@pytest.mark.parametrize("nodes", [CHAIN, AROUND])
def test_letters_are_large_and_lie_within_the_picture(nodes):
    """At 390 px the picture is scaled by 1.1 or more, so that 8.5 points are 9 px."""
    svg = plots.computational_graph(nodes, "The net").light
    width, height = (float(n) for n in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    assert width == pytest.approx(4.4 * 72)
    texts = re.findall(
        r'<text style="[^"]*font-size: ([\d.]+)px[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)<', svg
    )
    assert len(texts) > len(nodes)
    for size, x, y, text in texts:
        assert float(size) >= 8
        assert float(x) + 0.6 * float(size) * len(text) <= width, text  # 0.6 em is a letter's width, about
        assert 0 <= float(y) <= height


def stack(blocks):
    """Residual blocks one after another, s = s + f(s)."""
    nodes = [GraphNode("s0", (), False, "x", "4×2", LONG)]
    for i in range(blocks):
        nodes.append(GraphNode(f"h{i}", (f"s{i}",), False, f"h{i} = f(s{i})", "4×2", LONG))
        nodes.append(GraphNode(f"s{i + 1}", (f"s{i}", f"h{i}"), False, f"s{i + 1}", "4×2", LONG))
    return nodes


def fan(branches):
    """Branches of one value, summed."""
    ends = [GraphNode(f"h{i}", ("x",), False, f"h{i} = f(x)", "4×2", LONG) for i in range(branches)]
    return [
        GraphNode("x", (), False, "x", "4×2", LONG),
        *ends,
        GraphNode("s", tuple(node.name for node in ends), False, "s", "4×2"),
    ]


def test_many_ways_around():
    """Two lanes are enough for edges one below another; what needs many gets a wider picture."""

    def width(nodes):
        return float(re.findall(r'viewBox="0 0 ([\d.]+)', plots.computational_graph(nodes, "t").light)[0])

    assert width(stack(12)) == pytest.approx(4.4 * 72)
    assert width(fan(9)) > 4.4 * 72


def test_an_edge_that_is_no_neighbours_goes_around():
    """x goes into h, and around it into s: two ways forward and two back."""
    arrows = re.findall(r'<g id="patch_\d+">', plots.computational_graph(AROUND, "t").light)
    straight = re.findall(
        r'<g id="patch_\d+">',
        plots.computational_graph([*AROUND[:2], AROUND[2]._replace(inputs=("h",))], "t").light,
    )
    assert len(arrows) > len(straight)
