import re
from html import escape

import numpy as np
import pytest

from backhand import runs
from experiments import explain


def carry_out(config: explain.Config) -> runs.Run:
    run = runs.Run.start("explain", config)
    explain.run(config, run)
    return run


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """The defaults: linear, tanh, linear, softmax, cross-entropy."""
    return carry_out(explain.Config(out=tmp_path_factory.mktemp("explain")))


@pytest.fixture(scope="module")
def deeper(tmp_path_factory):
    config = {
        "hidden": (2, 4),
        "activation": "relu",
        "loss": "softmax_cross_entropy",
        "examples": 5,
        "seed": 3,
    }
    return carry_out(explain.Config(**config, out=tmp_path_factory.mktemp("explain")))


def page(run: runs.Run) -> str:
    return (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["lesson", "deeper"])
def test_every_gradient_is_autodiffs_to_1e_12(which, request):
    """The bar, on the arrays that the page is made from."""
    run = request.getfixturevalue(which)
    arrays, nodes = run.arrays("arrays.safetensors"), run.read_json("nodes.json")
    assert {name.split()[-1] for name in arrays} == {node["name"] for node in nodes} | {"y"}
    for node in nodes:
        by_hand, autodiff = (arrays[f"{way} {node['name']}"] for way in ("by hand", "autodiff"))
        assert by_hand.shape == autodiff.shape == arrays[f"value {node['name']}"].shape
        assert np.abs(by_hand - autodiff).max() <= 1e-12
        assert node["difference"] <= 1e-12


def test_the_run_folder_is_whole(lesson, capsys):
    assert {p.name for p in lesson.folder.iterdir()} == {
        "config.json",
        "receipt.json",
        "params.safetensors",
        "arrays.safetensors",
        "apart.safetensors",
        "together.safetensors",
        "nodes.json",
        "results.json",
        "table.txt",
        "figures",
        "report.html",
    }
    html = page(lesson)
    assert lesson.receipt["params_sha256"] in html
    assert lesson.receipt["data_sha256"] in html
    assert len(re.findall(r'<img [^>]*alt="Computational graph[^"]{100,}"', html)) == 1


@pytest.mark.parametrize("which", ["lesson", "deeper"])
def test_the_page_says_every_step_both_ways(which, request):
    run = request.getfixturevalue(which)
    html, nodes = page(run), run.read_json("nodes.json")
    for node in nodes:
        text = {key: escape(node[key]) for key in ("formula", "words", "chain", "chain_in_words")}
        if node["kind"] in ("value", "loss"):
            assert f"<h3>↓ {text['formula']}</h3>" in html
            assert f"<h3>↑ back through {text['formula']}</h3>" in html
            assert text["words"] in html
        if node["sources"]:
            assert f"<p>{text['chain']}: {text['chain_in_words']}.</p>" in html
            assert f"<caption>d{node['name']}, " in html
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", html))


def test_what_is_kept_and_what_for(lesson, deeper):
    assert "Kept for the way back: h, which dz₁ = dh ⊙ (1 − h²) will need." in page(lesson)
    assert "Kept for the way back: z₁ &gt; 0 (10 B), which dz₁ = dh₁ ⊙ [z₁ &gt; 0] will need." in page(deeper)
    assert "softmax(z₃) (120 B), which dz₃ = (softmax(z₃) − Y) / N will need; and y." in page(deeper)


def test_points_and_weights_can_be_copied(lesson):
    arrays = lesson.arrays("arrays.safetensors")
    np.testing.assert_array_equal(arrays["value x"], arrays["value x"].round(1))
    np.testing.assert_array_equal(arrays["value w₁"], arrays["value w₁"].round(2))


def test_the_worked_numbers(lesson):
    """The entry worked out, the losses of one example each, and softmax with its loss, by numpy."""
    a, results, html = lesson.arrays("arrays.safetensors"), lesson.read_json("results.json"), page(lesson)
    p, y = a["value p"], a["y"]
    losses = -np.log(p[np.arange(4), y])
    np.testing.assert_allclose([e["loss"] for e in results["examples"]], losses, rtol=1e-12)
    assert results["loss"] == pytest.approx(losses.mean(), rel=1e-12)
    assert results["dw"] == pytest.approx(np.mean([e["dw"] for e in results["examples"]]), rel=1e-12)
    assert results["dw"] == pytest.approx((a["value x"][:, 0] * a["by hand z₁"][:, 0]).sum(), rel=1e-12)
    assert html.count(explain.number(results["dw"], 5)) >= 4
    np.testing.assert_allclose(a["by hand z₂"], (p - np.eye(3)[y]) / 4, atol=1e-15)
    assert results["hopeless"]["apart"] == [0, 0]
    assert results["hopeless"]["together"] == [-1, 1]


def test_the_gradient_foretells_the_step(lesson):
    results = lesson.read_json("results.json")
    ratios = [(results["loss"] - s["loss"]) / (s["rate"] * results["squared_norm"]) for s in results["steps"]]
    assert abs(ratios[-1] - 1) < 0.01
    assert abs(ratios[-1] - 1) < abs(ratios[0] - 1)
    assert min(abs(n["slope"] - results["dw"]) for n in results["nudges"]) < 1e-9


def test_the_table_fits_a_terminal_and_is_on_the_page(lesson):
    table = (lesson.folder / "table.txt").read_text(encoding="utf-8")
    assert max(map(len, table.splitlines())) <= 100
    assert table.count("✓") == 11
    assert escape(table) in page(lesson)


def test_nudging_a_dead_unit():
    """All slopes are 0, and none of them is the nearest."""
    nodes = [{"name": "w", "kind": "parameter"}]
    results = {"dw": 0.0, "parameters": 3, "nudges": [{"by": by, "slope": 0.0} for by in explain.NUDGES]}
    html = "".join(explain.nudging(nodes, results))
    assert "No nudge differs from it" in html
    assert "nearest" not in html


def test_the_page_explains_its_signs(lesson):
    reading = page(lesson).partition("<h2>Forward")[0]
    for sign in (
        "ᵀ swaps",
        "⊙ multiplies entry by entry",
        "Σₙ is a sum over the N = 4",
        "Σₖ",
        "y(n) is",
        "one-hot Y",
    ):
        assert sign in reading


def test_a_single_layer(tmp_path):
    run = carry_out(explain.Config(hidden=(), inputs=3, classes=2, examples=1, out=tmp_path))
    assert [node["name"] for node in run.read_json("nodes.json")] == ["x", "w", "b", "z", "p", "L"]
    assert "dw[0, 0] = Σₙ x[n, 0] dz[n, 0]" in page(run)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (-0.0, "0"), (1e-5, "1e−5"), (-2.5e-17, "−2.5e−17"), (2e-300, "2e−300")],
)
def test_numbers_for_a_reader(value, text):
    assert explain.number(value) == text


@pytest.mark.parametrize(
    ("a", "cells"),
    [
        ([[0.8, -1.0]], ["0.8", "−1.0"]),
        ([[0.25, -0.00004]], ["0.2500", "0.0000"]),
        ([[284.123, 1.0]], ["284.1", "1.0"]),
        ([[0.0, 0.0]], ["0", "0"]),
        ([[0, 2]], ["0", "2"]),
        (1.0625, ["1.062"]),
    ],
)
def test_matrices_for_a_reader(a, cells):
    assert re.findall("<td>(.*?)</td>", explain.matrix("m", np.array(a))) == cells


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden", (3, 0), "hidden should be at least 1, got 0"),
        ("hidden", (9,), "hidden should be at most 8, as every number is printed, got 9"),
        ("hidden", (2,) * 9, "hidden should be at most 8 layers, got 9"),
        ("classes", 1, "classes should be at least 2, got 1"),
        ("inputs", 9, "inputs should be at most 8"),
        ("examples", 0, "examples should be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate should be above 0"),
        ("learning_rate", 1e-300, "learning_rate should be from 1e-6 to 1e6"),
        ("learning_rate", 1e300, "learning_rate should be from 1e-6 to 1e6"),
        ("seed", -1, "seed should be at least 0"),
        ("seed", 2**32, "seed should be below"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        explain.Config(**{field: value})


def test_the_report_in_a_browser(lesson, faults):
    assert faults(lesson.folder / "report.html") == []
