import numpy as np
import pytest

import backhand as bh
from experiments import losses
from tests.experiments.frame import carry_out


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return carry_out(losses, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("squared error", lambda e: 2 * e),
        ("absolute error", np.sign),
        ("Huber", lambda e: np.clip(e, -1, 1)),
    ],
)
def test_slopes_are_those_of_the_formulas(name, slope):
    found = losses.examine(losses.subjects(losses.Config())[name], "float32")
    np.testing.assert_allclose(found["slope"], slope(found["x"]), rtol=1e-6)
    assert found["off"] < 1e-6


def test_half_precision_breaks_where_its_numbers_end():
    z = losses.rounded(np.linspace(-20, 20, 2001), "float16")
    found = losses.cross_entropies(z, "float16")
    (dead, _), _, _, (lost, _), *_ = losses.breaks(found, found).rows
    assert -17 < float(dead.removeprefix("z ≤ ").replace("−", "-")) < -9
    assert float(lost.removeprefix("z ≥ ")) == pytest.approx(np.log(65504), abs=0.05)
    assert np.abs(found["fused_slope"] - found["exact_slope"]).max() < 1e-3


@pytest.mark.slow
def test_the_run_and_its_report(default, faults):
    assert default.status == 0
    assert set(default.results) == {*losses.subjects(losses.Config()), "all logits", "near logits"}
    assert losses.RIGHT in default.html
    assert default.html.count("<img") == 9
    assert "z ≤ −87.34" in default.html  # log of float32's smallest normal number
    assert faults(default.folder / "report.html") == []


def test_a_wrong_slope_is_far_off():
    loss = bh.squared_error._replace(backward=lambda error: 2.02 * error)
    subject = losses.subjects(losses.Config())["squared error"]._replace(loss=loss)
    assert losses.examine(subject, "float32")["off"] > 1e-3


def test_a_huber_wider_than_the_span_has_no_kinks():
    assert not losses.subjects(losses.Config(delta=5.0))["Huber"].kinks


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("delta", 0.0, "delta should be from 0.01 to 100, got 0.0"),
        ("delta", 1e3, "delta should be from 0.01 to 100, got 1000.0"),
        ("span", float("nan"), "span should be finite, got nan"),
        ("seed", -1, "seed should be at least 0"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        losses.Config(**{field: value})
