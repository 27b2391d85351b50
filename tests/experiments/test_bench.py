import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import he, linear, manual, relu, serial, softmax_cross_entropy
from experiments import bench
from tests.experiments.frame import carry_out, report_of
from tests.trees import normal_like


@pytest.fixture
def plain_jax():
    """The raw training broadcasts a bias over the batch and mixes dtypes, as plain JAX lets one."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("plain_jax")
def test_it_times_everyone_in_every_round(tmp_path, faults):
    flags = "--hidden 8 4 --batch-size 16 --examples 160 --rounds 2"
    done = carry_out(bench, tmp_path, *flags.split())
    times = done.results["bench"]["times"]
    claimed = {name for one, other, _ in bench.CLAIMS for name in (one, other)}
    assert set(times) == {name for name in claimed if "start" not in name}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())
    assert faults(done.folder / "report.html") == []


@pytest.mark.slow
def test_fresh_processes_come_to_the_end_of_an_epoch(tmp_path):
    config = bench.Config(hidden=(8, 4), batch_size=16, examples=160, start=True)
    timers = bench.starts(config, str(tmp_path))
    claimed = {name for one, other, _ in bench.CLAIMS for name in (one, other)}
    assert set(timers) == {name for name in claimed if "start" in name}
    assert timers["cached start: fit"]() > 0
    assert list(tmp_path.iterdir()), "it should have kept what it compiled"
    assert timers["start: raw"]() > 0


@pytest.mark.parametrize(
    ("seconds", "verdict", "finding"),
    [
        ([1.0, 1.0], "within", bench.GOOD),
        ([1.1, 1.1], "over", bench.BAD),
        ([0.9, 1.1], "unclear", bench.UNCLEAR),
    ],
)
def test_verdicts(tmp_path, seconds, verdict, finding):
    report = report_of(
        bench, tmp_path, bench={"times": {"by hand": seconds, "autodiff": [1.0, 1.0]}}
    )
    assert [row[-1] for row in report.table.rows] == [verdict]
    assert report.finding == finding


@pytest.mark.usefixtures("plain_jax")
def test_the_raw_training_is_the_same_maths():
    net = serial(linear(8, he), relu, linear(6, he), relu, linear(10))
    x = normal_like(jnp.zeros((16, 784), jnp.float32), 0)
    y = jnp.arange(16, dtype=jnp.int32) % 10
    params = net.init(jax.random.key(0), x)
    value, dparams = manual(net, softmax_cross_entropy)(params, x, y, jax.random.key(1))
    weights = tuple(tuple(part) for part in params if part)
    raw_value, raw = runpy.run_path(str(bench.RAW))["gradient"](weights, x, y)
    assert float(value) == pytest.approx(float(raw_value), rel=1e-6)
    for a, b in zip(jax.tree.leaves(dparams), jax.tree.leaves(raw), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"), [("hidden", (0, 4)), ("rounds", 1), ("batch_size", 0), ("examples", 1000)]
)
def test_a_config_that_makes_no_sense(field, value):
    with pytest.raises(ValueError, match=f"config: {field} should be at least"):
        bench.Config(**{field: value})
