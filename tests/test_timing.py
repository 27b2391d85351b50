import time

import numpy as np

from backhand.timing import interleaved, ratio


def test_contestants_take_turns():
    order = []

    def contestant(name, seconds):
        return lambda: order.append(name) or time.sleep(seconds)

    contestants = {"quick": contestant("quick", 0), "slow": contestant("slow", 2e-3)}
    times = interleaved(contestants, 8, np.random.default_rng(0), least=0)
    assert {name: len(seconds) for name, seconds in times.items()} == {"quick": 8, "slow": 8}
    assert ratio(times["slow"], times["quick"])["low"] > 1
    counted = order[8:]  # the first four of each are not
    rounds = {tuple(counted[i : i + 2]) for i in range(0, 16, 2)}
    assert rounds == {("quick", "slow"), ("slow", "quick")}


def test_what_is_quick_is_called_often():
    calls = []
    interleaved({"quick": lambda: calls.append(time.sleep(1e-4))}, 1, np.random.default_rng(0), least=2e-3)
    assert len(calls) > 4 + 4


def test_ratio():
    r = ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert r == {"median": 2.0, "low": 2.0, "high": 2.0}
    rng = np.random.default_rng(1)
    noisy = ratio(list(rng.normal(1.1, 0.05, 30)), [1.0] * 30)
    assert noisy["low"] < 1.1 < noisy["high"] < noisy["low"] + 0.1
