import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import linear, serial, tanh
from experiments import costs
from tests.experiments.frame import carry_out, report_of
from tests.trees import assert_close, normal_like


@pytest.mark.slow
def test_every_subject_has_its_line(tmp_path, monkeypatch, faults):
    monkeypatch.setattr(costs, "SUBJECTS", {"linear(4)": (linear(4), 6), "tanh": (tanh, 16)})
    done = carry_out(costs, tmp_path, "--batch", 8, "--rounds", 3)
    assert list(done.results) == ["linear(4)", "tanh"]
    for result in done.results.values():
        for way in ("by hand", "autodiff"):
            assert set(result[way]) == {"kept", "flops", "temp"}
            assert min(result["times"][way]) > 0
            assert len(result["times"][way]) == 3
    floats = 4
    assert done.results["linear(4)"]["by hand"]["kept"] == 8 * 6 * floats  # x, and not w
    assert done.results["linear(4)"]["autodiff"]["kept"] == 8 * 6 * floats
    assert done.results["tanh"]["by hand"]["kept"] == 8 * 16 * floats  # y
    assert faults(done.folder / "report.html") == []


def test_both_ways_come_to_the_same():
    x, dy = normal_like(jnp.zeros((8, 6)), 0), normal_like(jnp.zeros((8, 3)), 1)
    net = serial(linear(4), tanh, linear(3))
    params = net.init(jax.random.key(0), x)
    (y, got), (wanted_y, wanted) = (
        (y, layer.backward(params, kept, dy))
        for layer in costs.ways(net).values()
        for y, kept in [layer.forward(params, x, jax.random.key(0))]
    )
    assert_close(y, wanted_y)
    assert_close(got, wanted)


def test_an_array_kept_twice_counts_once_and_parameters_do_not():
    x, w = jnp.zeros((4, 2), jnp.float32), jnp.zeros((2, 2), jnp.float32)
    assert costs.kept_bytes((x, [x, w], jnp.zeros(3, bool)), {"w": w}) == 4 * 2 * 4 + 3


def test_a_backend_that_tells_nothing():
    class Compiled:
        def cost_analysis(self):
            return None

        def memory_analysis(self):
            return None

    assert costs.compiled_costs(Compiled()) == {"flops": None, "temp": None}
    ways = {"by hand": {"flops": None}, "autodiff": {"flops": 2500}}
    assert costs.pair(ways, "flops", 1000) == "– / 2.50"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.8, 0.9, "faster"), (0.9, 1.2, "even"), (1.01, 1.2, "a bit slower"), (1.06, 1.2, "slower")],
)
def test_verdicts(low, high, word):
    assert costs.verdict(low, high) == word


@pytest.mark.parametrize(("by_hand", "finding"), [(1.0, costs.FAST), (1.2, costs.SLOW)])
def test_what_is_slower_is_said(tmp_path, by_hand, finding):
    cost = {"kept": 0, "flops": None, "temp": 0}
    times = {"by hand": np.full(4, by_hand), "autodiff": np.ones(4)}
    facts = {"by hand": cost, "autodiff": cost, "times": times}
    assert report_of(costs, tmp_path, mine=facts).finding == finding


@pytest.mark.parametrize(("field", "value", "least"), [("batch", 0, 1), ("rounds", 1, 2)])
def test_a_config_that_makes_no_sense(field, value, least):
    with pytest.raises(ValueError, match=f"config: {field} should be at least {least}"):
        costs.Config(**{field: value})
