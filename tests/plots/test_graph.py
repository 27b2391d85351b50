import re

import pytest

from backhand import plots
from backhand.plots import GraphNode
from tests.plots.words import words

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
    seen = words(drawing)
    assert {"The net 2-3", "forward: values", "backward: gradients"} <= seen
    for node in CHAIN:
        assert {node.formula, node.value} <= seen
        assert {node.chain, node.gradient} <= seen | {""}
    styles = re.findall(r'style="([^"]*stroke: [^"]*)"', drawing.svg)
    dashed = [style for style in styles if "stroke-dasharray" in style]
    assert dashed
    assert all("stroke: var(--red)" in style for style in dashed)
    assert any("stroke: var(--blue)" in style for style in styles)
    gradients = "dz = z / N (norm 7); dw = xᵀ dz (norm 6); dx = dz wᵀ (norm 5)."
    assert f"Backward, bottom to top: {gradients}" in drawing.alt


@pytest.mark.parametrize("nodes", [CHAIN, AROUND])
def test_letters_are_large_and_lie_within_the_picture(nodes):
    """At 390 px the picture is scaled by 1.1 or more, so that 8.5 points are 9 px."""
    svg = plots.computational_graph(nodes, "The net").svg
    width, height = (float(n) for n in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    assert width == pytest.approx(4.4 * 72)
    texts = re.findall(
        r'<text style="[^"]*font-size: ([\d.]+)px[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)<',
        svg,
    )
    assert len(texts) > len(nodes)
    for size, x, y, text in texts:
        assert float(size) >= 8
        assert float(x) + 0.6 * float(size) * len(text) <= width, (
            text
        )  # 0.6 em is a letter's width, about
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
        return float(
            re.findall(r'viewBox="0 0 ([\d.]+)', plots.computational_graph(nodes, "t").svg)[0]
        )

    assert width(stack(12)) == pytest.approx(4.4 * 72)
    assert width(fan(9)) > 4.4 * 72


def test_an_edge_past_other_values_goes_around_them():
    """x goes into h, and around it into s: two ways forward and two back."""
    arrows = re.findall(r'<g id="patch_\d+">', plots.computational_graph(AROUND, "t").svg)
    straight = re.findall(
        r'<g id="patch_\d+">',
        plots.computational_graph([*AROUND[:2], AROUND[2]._replace(inputs=("h",))], "t").svg,
    )
    assert len(arrows) > len(straight)
