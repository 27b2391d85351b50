"""Fair timing on a machine that is shared and noisy: contestants take turns, and only ratios count."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def interleaved(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, rng: np.random.Generator, least: float = 2e-3
) -> dict[str, list[float]]:
    """Seconds a call of each contestant, by name, once a round, each round in an order drawn anew.

    A measurement is a mean over as many calls as take `least` seconds, so that the clock's grain is lost in it.
    The first calls, with their compilation, are not counted.
    """

    def seconds(name: str, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(contestants[name]())
        return (time.perf_counter() - start) / calls

    calls = 1
    for name in contestants:
        seconds(name, 1)
        calls = max(calls, math.ceil(least / seconds(name, 3)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in rng.permutation(list(contestants)):
            times[str(name)].append(seconds(str(name), calls))
    return times


def ratio(a: list[float], b: list[float], resamples: int = 10_000) -> dict[str, float]:
    """The median of a/b over the rounds, with a 95 % interval by bootstrap (Efron, 1979)."""
    ratios = np.asarray(a) / np.asarray(b)
    draws = np.random.default_rng(0).choice(ratios, (resamples, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}
