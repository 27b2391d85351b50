import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Layer, linear, runs, serial, softmax_cross_entropy, tanh
from backhand.layer import parameterless
from experiments import costs
from tests.trees import assert_close, normal_like


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A run on a few subjects, small."""
    config = costs.Config(batch=8, rounds=3, out=tmp_path_factory.mktemp("costs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "LAYERS", {"linear(4)": (linear(4), 6), "tanh": (tanh, 16)})
        patch.setattr(costs, "NETS", ((6, 4, 3),))
        run = runs.Run.start("costs", config)
        costs.run(config, run)
    return run


def test_every_subject_has_its_line(ledger):
    results = ledger.read_json("results.json")
    assert list(results) == ["linear(4)", "tanh", "net 6-4-3"]
    assert len(ledger.metrics()) == 3 * 3
    for result in results.values():
        for way in ("by hand", "autodiff"):
            assert {"kept_bytes", "flops", "temp_bytes", "seconds"} == set(result[way])
            assert result[way]["seconds"] > 0
        assert result["ratio"]["low"] <= result["ratio"]["median"] <= result["ratio"]["high"]
    floats = 4
    assert results["linear(4)"]["by hand"]["kept_bytes"] == 8 * 6 * floats  # x, and not w
    assert results["linear(4)"]["autodiff"]["kept_bytes"] == 8 * 6 * floats
    assert results["tanh"]["by hand"]["kept_bytes"] == 8 * 16 * floats  # y
    report = (ledger.folder / "report.html").read_text()
    assert all(name in report for name in results)


def test_the_report_in_a_browser(ledger, faults):
    assert faults(ledger.folder / "report.html") == []


def test_both_ways_come_to_the_same():
    x, labels = normal_like(jnp.zeros((8, 6)), 0), jnp.arange(8, dtype=jnp.int32) % 3
    net = serial(linear(4), tanh, linear(3))
    params = net.init(jax.random.key(0), x)
    for ways, dy in (
        (costs.of_layer(net), normal_like(jnp.zeros((8, 3)), 1)),
        (costs.of_net(net, softmax_cross_entropy, labels), jnp.array(2.0)),
    ):
        (y, got), (wanted_y, wanted) = (
            (y, passes.backward(params, kept, dy))
            for passes in ways.values()
            for y, kept in [passes.forward(params, x)]
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

    assert costs.costs(Compiled()) == {"flops": None, "temp_bytes": None}
    way = {"kept_bytes": 0, "seconds": 1e-6, "flops": None, "temp_bytes": np.nan}
    r = {"median": 1.0, "low": 0.9, "high": 1.1}
    result = {"by hand": way, "autodiff": way, "ratio": r, "verdict": "even"}
    assert costs.ledger({"it": result})[1] == ("it", "0 / 0", "– / –", "– / –", "1", "1.00 0.90–1.10", "even")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.8, 0.9, "faster"), (0.9, 1.2, "even"), (1.01, 1.2, "a bit slower"), (1.06, 1.2, "slower")],
)
def test_verdicts(low, high, word):
    assert costs.verdict({"median": (low + high) / 2, "low": low, "high": high}) == word


def test_what_is_slower_is_said(tmp_path, monkeypatch, capsys):
    def wasteful() -> Layer:
        """A layer whose backward pass computes much that it need not."""

        def backward(y, dy):
            for _ in range(60):
                dy = jnp.tan(jnp.arctan(dy))
            return dy * (1 - y * y)

        return parameterless("wasteful", lambda x: (jnp.tanh(x),) * 2, backward)

    monkeypatch.setattr(costs, "LAYERS", {"wasteful": (wasteful(), 256)})
    monkeypatch.setattr(costs, "NETS", ())
    for reasons, words in (
        ({}, "for a reason not yet found"),
        ({"wasteful": "of going there and back"}, "of going"),
    ):
        monkeypatch.setattr(costs, "REASONS", reasons)
        config = costs.Config(batch=8, rounds=3, out=tmp_path)
        costs.run(config, runs.Run.start("costs", config))
        assert f"wasteful: slower, {words}" in capsys.readouterr().out


@pytest.mark.parametrize(("field", "value", "least"), [("batch", 0, 1), ("rounds", 1, 2), ("seed", -1, 0)])
def test_a_config_that_makes_no_sense(field, value, least):
    with pytest.raises(ValueError, match=f"config: {field} should be at least {least}"):
        costs.Config(**{field: value})
