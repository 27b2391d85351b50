import re

import numpy as np
import pytest

from backhand import runs
from experiments import losses


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    config = losses.Config(out=tmp_path_factory.mktemp("losses"))
    run = runs.Run.start("losses", config)
    losses.run(config, run)
    return run


def test_every_derivative_is_the_slope_of_its_forward(default):
    """float32 against differences in float64, and against jax.grad."""
    results = default.read_json("results.json")["losses"]
    assert set(results) == set(losses.subjects(default.config))
    for result in results.values():
        assert result["central"] <= 1e-6
        assert result["by_jax"] <= 1e-6


def test_values_and_slopes_by_their_formulas(default):
    a = default.arrays("losses.safetensors")
    e = a["squared.x"]
    np.testing.assert_allclose(a["squared.value"], e**2, rtol=1e-6)
    np.testing.assert_allclose(a["squared.slope"], 2 * e, rtol=1e-6)
    np.testing.assert_allclose(a["huber.slope"], np.clip(a["huber.x"], -1, 1), rtol=1e-6)
    z = a["logistic.x"]
    np.testing.assert_allclose(a["logistic.slope"], 1 / (1 + np.exp(-z)) - 1, rtol=1e-5)
    assert not a["zero-one.slope"].any()
    assert not a["zero-one.central"].any()


def test_what_holds_at_the_kinks(default):
    kinks = {name: r["kinks"] for name, r in default.read_json("results.json")["losses"].items()}
    assert [kinks["absolute"][key] for key in ("x", "below", "slope", "above")] == [[0], [-1], [0], [1]]
    assert (kinks["huber"]["x"], kinks["huber"]["slope"]) == ([-1, 1], [-1, 1])
    assert (kinks["cross-entropy"]["slope"], kinks["cross-entropy"]["above"]) == ([0], [pytest.approx(-100)])
    assert kinks["squared"]["x"] == []


def test_where_float32_parts_from_the_exact_loss(default):
    edge = default.read_json("results.json")["edge"]
    assert -104 < edge["dead_below"] <= -87  # the logs of float32's smallest number, and smallest normal one
    assert edge["textbook_nan_above"] == pytest.approx(np.log(np.finfo(np.float32).max), abs=0.05)
    assert edge["fused_value"] <= 1e-6
    assert edge["fused_slope"] <= 1e-6
    a = losses.part(default.arrays("losses.safetensors"), "table")
    far = a["z"] == -1e4
    assert (a["fused.value"][far], a["fused.slope"][far]) == (1e4, -1)
    assert a["separate.slope"][far] == 0
    assert a["separate.value"][far] == pytest.approx(-np.log(np.finfo(np.float32).tiny))
    assert np.isnan(a["textbook.slope"][far])


def test_the_report_has_every_picture_and_the_table(default, capsys):
    html = (default.folder / "report.html").read_text()
    figures = list((default.folder / "figures").iterdir())
    assert html.count("<img") == len(figures) == 10
    assert len(re.findall(r'alt="[^"]{80,}"', html)) == 10
    assert "make losses" in html
    assert default.receipt["losses_sha256"] in html
    header, rows = losses.edge_table(default.arrays("losses.safetensors"))
    assert len(rows) == 2 * len(losses.LOGITS)
    assert all(f"<td>{row[0]}</td>" in html for row in rows)
    runs.print_table(header, rows)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_the_report_looks_right(default, faults):
    assert faults(default.folder / "report.html") == []


def test_half_precision_breaks_sooner():
    arrays = {
        f"{stem}.{key}": array
        for stem, z in losses.logits("float16").items()
        for key, array in losses.edge(z, "float16").items()
    }
    edge = losses.where_they_part(arrays)
    assert -17 < edge["dead_below"] < -9
    assert edge["textbook_nan_above"] == pytest.approx(np.log(65504), abs=0.05)
    assert edge["fused_slope"] <= 1e-3


def test_a_huber_wider_than_the_span_has_no_kinks(tmp_path):
    assert not losses.subjects(losses.Config(delta=5.0, out=tmp_path))["huber"].kinks


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("delta", 0.0, "delta should be above 0, got 0.0"),
        ("delta", 1e3, "delta should be from 0.01 to 100, got 1000.0"),
        ("span", float("nan"), "span should be finite, got nan"),
        ("span", 1e-3, "span should be from 0.01 to 100, got 0.001"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        losses.Config(**{field: value})
