"""Fair timing on a machine that is shared and noisy: contestants take turns, and only ratios count."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def interleaved(
    contests: Mapping[str, Mapping[str, Callable[[], Any]]],
    rounds: int,
    rng: np.random.Generator,
    least: float = 1e-3,
) -> dict[str, dict[str, list[float]]]:
    """Seconds a call, one number a round, of each contestant in each contest: {contest: {contestant: seconds}}.

    Every round holds every contest, and its contestants one after the other in an order drawn anew: what disturbs
    the machine for some seconds then disturbs a few rounds of each contest, and not the whole of one. A number is
    the mean over as many calls as take the quickest of a contest `least` seconds, above the clock's grain.
    The first calls, with their compilation, are not counted.
    """

    def seconds(call: Callable[[], Any], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(call())
        return (time.perf_counter() - start) / calls

    calls = {}
    for contest, contestants in contests.items():
        for call in contestants.values():
            seconds(call, 1)
        calls[contest] = max(math.ceil(least / seconds(call, 3)) for call in contestants.values())
    times: dict[str, dict[str, list[float]]] = {
        contest: {name: [] for name in contestants} for contest, contestants in contests.items()
    }
    for _ in range(rounds):
        for contest, contestants in contests.items():
            for name in map(str, rng.permutation(list(contestants))):
                times[contest][name].append(seconds(contestants[name], calls[contest]))
    return times


def ratio(a: list[float], b: list[float], resamples: int = 10_000) -> dict[str, float]:
    """The median of a/b over the rounds, with a 95 % interval by bootstrap (Efron, 1979)."""
    ratios = np.asarray(a) / np.asarray(b)
    draws = np.random.default_rng(0).choice(ratios, (resamples, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}
