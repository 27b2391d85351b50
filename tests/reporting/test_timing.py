import time

import numpy as np

from backhand.reporting.timing import interleaved, ratio


def test_contestants_take_turns():
    order = []

    def contestant(name, seconds):
        return lambda: order.append(name) or time.sleep(seconds)

    contests = {
        "a": {"quick": contestant("a quick", 0), "slow": contestant("a slow", 2e-3)},
        "b": {"only": contestant("b", 0)},
    }
    times = interleaved(contests, 8, np.random.default_rng(0), least=1e-9)
    assert {contest: {n: len(t) for n, t in ts.items()} for contest, ts in times.items()} == {
        "a": {"quick": 8, "slow": 8},
        "b": {"only": 8},
    }
    assert ratio(times["a"]["slow"], times["a"]["quick"])["low"] > 1
    counted = order[3 * 4 :]  # the first four calls of each are not
    rounds = {tuple(counted[i : i + 3]) for i in range(0, 24, 3)}
    assert rounds == {("a quick", "a slow", "b"), ("a slow", "a quick", "b")}


def test_what_is_quick_is_called_often():
    calls = []
    interleaved(
        {"": {"": lambda: calls.append(time.sleep(1e-4))}}, 1, np.random.default_rng(0), least=2e-2
    )
    assert len(calls) > 4 + 4


def test_ratio():
    r = ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert r == {"median": 2.0, "low": 2.0, "high": 2.0}
    rng = np.random.default_rng(1)
    noisy = ratio(list(rng.normal(1.1, 0.05, 30)), [1.0] * 30)
    assert noisy["low"] < 1.1 < noisy["high"] < noisy["low"] + 0.1
