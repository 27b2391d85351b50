"""Fair timing on a machine that is shared and noisy: contestants take turns, and ratios count."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

Call = Callable[[], object]


def interleaved(
    contests: Mapping[str, Mapping[str, Call]],
    rounds: int,
    rng: np.random.Generator,
    least: float = 1e-3,
    on_round: Callable[[int], object] = lambda done: None,
) -> dict[str, dict[str, list[float]]]:
    """Seconds a call of each contestant in each contest, a number a round, by their names.

    Every round runs every contest, and its contestants one after the other in a random order: what
    disturbs the machine for some seconds then disturbs a few rounds of each contest, and not the
    whole of one. A number is the mean over as many calls as take the quickest of a contest `least`
    seconds, which the clock can measure. The first calls, with compilation, are not counted. After
    each round `on_round` is told how many are done.
    """

    def seconds(call: Call, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(call())
        return (time.perf_counter() - start) / calls

    calls = {}
    for contest, contestants in contests.items():
        for call in contestants.values():
            seconds(call, 1)
        calls[contest] = max(math.ceil(least / seconds(c, 3)) for c in contestants.values())
    times: dict[str, dict[str, list[float]]] = {
        contest: {name: [] for name in contestants} for contest, contestants in contests.items()
    }
    for done in range(1, rounds + 1):
        for contest, contestants in contests.items():
            for name in map(str, rng.permutation(list(contestants))):
                times[contest][name].append(seconds(contestants[name], calls[contest]))
        on_round(done)
    return times


def ratio(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """The median of a/b over the rounds, with a 95 % interval by bootstrap (Efron, 1979)."""
    ratios = np.asarray(a) / np.asarray(b)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}
