import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import he, linear, manual, relu, runs, serial, softmax_cross_entropy
from experiments import bench
from tests.trees import normal_like


@pytest.fixture
def plain_jax():
    """The raw training broadcasts a bias over the batch and mixes dtypes, as plain JAX lets one."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("plain_jax")
def test_it_measures_everyone_in_every_round(tmp_path):
    config = bench.Config(hidden=(8, 4), batch_size=16, examples=64, rounds=3, out=tmp_path)
    run = runs.Run.start("bench", config)
    bench.run(config, run)
    results = run.read_json("results.json")
    assert list(results["seconds"]) == [
        "by hand",
        "by hand, with metrics",
        "by hand, guarded",
        "autodiff",
        "raw scan",
        "raw loop",
    ]
    assert list(results["ratios"]) == list(results["seconds"])[1:]
    assert results["traces"] == {"by hand": 1, "autodiff": 1}
    assert len(run.metrics()) == 3 * 6
    for r in [*results["ratios"].values(), results["metrics_over_raw"], results["guarded_over_bare"]]:
        assert r["low"] <= r["median"] <= r["high"]


@pytest.mark.usefixtures("plain_jax")
def test_the_raw_training_is_the_same_maths():
    net = serial(linear(8, he), relu, linear(6, he), relu, linear(10))
    x = normal_like(jnp.zeros((16, 784), jnp.float32), 0)
    y = jnp.arange(16, dtype=jnp.int32) % 10
    params = net.init(jax.random.key(0), x)
    value, dparams = manual(net, softmax_cross_entropy)(params, x, y, jax.random.key(1))
    raw_value, raw = bench.raw_gradient(tuple(tuple(p) for p in params if p), x, y)
    assert float(value) == pytest.approx(float(raw_value), rel=1e-6)
    for a, b in zip(jax.tree.leaves(dparams), jax.tree.leaves(raw), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"), [("hidden", (0, 4)), ("rounds", 1), ("batch_size", 0), ("examples", 100)]
)
def test_a_config_that_makes_no_sense(field, value):
    with pytest.raises(ValueError, match=f"config: {field} should be at least"):
        bench.Config(**{field: value})
