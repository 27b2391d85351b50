import re
from html import escape

import numpy as np
import pytest

from backhand.storage import parameters
from experiments import explain
from tests.experiments.frame import carry_out

DEEPER = "--hidden 2 4 --activation relu --loss softmax_cross_entropy --examples 5 --seed 3"


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """The defaults: linear, tanh, linear, softmax, cross-entropy."""
    return carry_out(explain, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def deeper(tmp_path_factory):
    return carry_out(explain, tmp_path_factory.mktemp("runs"), *DEEPER.split())


@pytest.mark.slow
@pytest.mark.parametrize("which", ["lesson", "deeper"])
def test_the_page_says_every_step_both_ways(which, request):
    done = request.getfixturevalue(which)
    flags = {} if which == "lesson" else {"hidden": (2, 4), "activation": "relu", "seed": 3}
    loss = "cross_entropy" if which == "lesson" else "softmax_cross_entropy"
    config = explain.Config(**flags, examples=4 + (which == "deeper"))
    *_, explanation = explain.explained(config, loss)
    assert done.results["net"]["by hand L"] == 1
    for node in explanation.nodes:
        assert np.abs(node.gradient.by_hand - node.gradient.autodiff).max() <= 1e-12
        if node.kind in ("value", "loss"):
            assert f"<h3>↓ {escape(node.formula)}</h3>" in done.html
            assert f"<h3>↑ back through {escape(node.formula)}</h3>" in done.html
            assert escape(node.words) in done.html
        if node.shares:
            assert f"<p>{escape(node.chain)}: {escape(node.chain_in_words)}.</p>" in done.html
            assert f"<caption>d{node.name}, " in done.html
    assert escape(explain.RIGHT) in done.html
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", done.html))


@pytest.mark.slow
def test_the_numbers_of_the_run(lesson):
    """Softmax with its loss by NumPy, and the steps that the gradient promised."""
    net = lesson.results["net"]
    p, y = np.array(net["value p"]), np.arange(4) % 3
    np.testing.assert_allclose(net["value L"], -np.log(p[range(4), y]).mean(), rtol=1e-12)
    np.testing.assert_allclose(net["by hand z₂"], (p - np.eye(3)[y]) / 4, atol=1e-15)
    ratios = [ratio for *_, ratio in net["steps"]]
    assert abs(ratios[-1] - 1) < 0.01
    assert abs(ratios[-1] - 1) < abs(ratios[0] - 1)
    weights, _ = parameters.read(lesson.folder / "params.safetensors")
    for array in (np.array(net["value x"]), *weights.values()):  # they can be copied
        np.testing.assert_array_equal(array, array.round(2))


@pytest.mark.slow
def test_a_single_layer_and_a_single_example(tmp_path):
    flags = "--hidden --inputs 3 --classes 2 --examples 1"
    done = carry_out(explain, tmp_path, *flags.split())
    assert [name for name in done.results["net"] if name.startswith("value")] == [
        f"value {name}" for name in ("x", "w", "b", "z", "p", "L")
    ]
    assert "<th>dz[n, 0]" in done.html.replace(' class="number"', "")


@pytest.mark.slow
def test_the_report_in_a_browser(lesson, deeper, faults):
    assert faults(lesson.folder / "report.html") == []
    assert faults(deeper.folder / "report.html") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.12346"), (-0.0, "0"), (1e-5, "1e−5"), (-2.5e-17, "−2.5e−17"), (np.nan, "–")],
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
        ("hidden", (9,), "hidden should be at most 8, got 9"),
        ("hidden", (2,) * 9, "hidden should be at most 8, got 9"),
        ("classes", 1, "classes should be at least 2, got 1"),
        ("inputs", 9, "inputs should be at most 8"),
        ("examples", 0, "examples should be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate should be above 0"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        explain.Config(**{field: value})
