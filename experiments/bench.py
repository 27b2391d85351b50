"""The bench: what do backprop by hand and this library cost in time?

A perceptron's epoch on MNIST-shaped data is timed in several ways, in turn, round after round: only
ratios within a round mean anything on a shared machine. So is a small net, which is all overhead.
`make bench START=true` times fresh processes up to the end of their first epoch instead.
"""

import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import plots, runs
from backhand.checks import positive_integer
from backhand.models import perceptron
from backhand.reporting import Report, Table, paragraph, ratio
from backhand.training import Progress

RAW = Path(__file__).with_name("raw.py")
INPUTS, CLASSES = 784, 10
SMALL_EPOCHS = 500
CLAIMS = (  # one contestant takes at most so many times as long as another
    ("by hand", "autodiff", 1.02),
    ("by hand", "raw scan", 1.03),
    ("by hand", "raw loop", 1.0),
    ("epoch of fit", "by hand", 1.15),
    ("small net: fit", "small net: raw", 1.3),
    ("start: fit", "start: raw", 1.35),
    ("cached start: fit", "cached start: raw", 1.35),
)
FIT = """
import os, sys, numpy as np, jax, optax, backhand as bh
from backhand.models import perceptron
inputs, *hidden, classes, examples, batch_size = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
x = rng.random((examples, inputs), np.float32)
y = rng.integers(0, classes, examples, np.int32)
net, adam = perceptron(hidden, classes, "relu"), optax.adam(1e-3)
training = bh.Training(net, bh.softmax_cross_entropy, adam)
bh.fit(training, (x, y), key=jax.random.key(0), epochs=1, batch_size=batch_size)
os._exit(0)
"""
Timer = Callable[[], float]  # does what is to be timed, and returns how many seconds it took


@dataclass(frozen=True)
class Config(runs.Config):
    """What is timed, and how often."""

    hidden: tuple[int, int] = (256, 128)
    """The two hidden widths of the perceptron, of relu units."""
    batch_size: int = 128
    """Examples a step."""
    examples: int = 60_000
    """Examples an epoch, of 784 random numbers each."""
    rounds: int = 20
    """How often each contestant is timed; a round before, with compilation, is not counted."""
    start: bool = False
    """Time fresh processes up to the end of their first epoch, of a tenth of the examples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("config", "hidden", min(self.hidden))
        positive_integer("config", "rounds", self.rounds, least=2)
        positive_integer("config", "batch_size", self.batch_size)
        positive_integer("config", "examples", self.examples, least=10 * self.batch_size)


def train(config: Config, run: runs.Run) -> None:
    """Time every contestant in every round, in a random order."""
    rng = np.random.default_rng(config.seed)
    progress = Progress(config.rounds + 1, unit="round")
    with tempfile.TemporaryDirectory() as cache:
        timers = starts(config, cache) if config.start else epochs(config, rng) | small(rng)
        seconds: dict[str, list[float]] = {name: [] for name in timers}
        for number in range(config.rounds + 1):
            progress.show(number, {})
            for name in map(str, rng.permutation(list(timers))):
                elapsed = timers[name]()
                if number:
                    seconds[name].append(elapsed)
        progress.clear()
    run.keep("bench", times=seconds)


def timed(call: Callable[[], object]) -> float:
    """Seconds until all that the call returns is computed."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def epochs(config: Config, rng: np.random.Generator) -> dict[str, Timer]:
    """One more epoch of a training, in each way."""
    raw, size = runpy.run_path(str(RAW)), config.batch_size
    x = jnp.asarray(rng.random((config.examples, INPUTS), np.float32))
    y = jnp.asarray(rng.integers(0, CLASSES, config.examples, np.int32))
    net, adam = perceptron(config.hidden, CLASSES, "relu"), optax.adam(1e-3)
    by_hand = bh.Training(net, bh.softmax_cross_entropy, adam)
    by_autodiff = bh.Training(net, bh.softmax_cross_entropy, adam, bh.autodiff)

    def more(epoch: Callable[..., Any], state: Any) -> Timer:
        states = [state]  # an epoch uses up the state that it is given

        def call() -> object:
            states[0], values = epoch(states[0], x, y)
            return states[0], values

        return partial(timed, call)

    def in_fit() -> float:
        """From the end of the first epoch to that of the third, halved."""
        ends, some = [], (x[: len(x) // 10], y[: len(x) // 10])
        bh.fit(
            by_hand, (x, y), key=jax.random.key(0), epochs=3, batch_size=size, validation=some,
            metrics=[bh.accuracy], on_epoch=lambda *_: ends.append(time.perf_counter()),
        )  # fmt: skip
        return (ends[2] - ends[0]) / 2

    def start() -> bh.TrainState:
        return bh.init_state(by_hand, jax.random.key(config.seed), x)

    widths = (INPUTS, *config.hidden, CLASSES)
    return {
        "by hand": more(bh.make_epoch(by_hand, size), start()),
        "autodiff": more(bh.make_epoch(by_autodiff, size), start()),
        "raw scan": more(raw["scan"](adam, size), raw["start"](widths, adam)),
        "raw loop": more(raw["loop"](adam, size), raw["start"](widths, adam)),
        "epoch of fit": in_fit,
    }


def small(rng: np.random.Generator) -> dict[str, Timer]:
    """The whole training of 2-8-8-2, full batch, with scores of both splits after each epoch."""
    xs = [rng.standard_normal((400, 2), np.float32) for _ in range(2)]
    (x, y), validation = ((x, (x[:, 0] > 0).astype(np.int32)) for x in xs)
    raw, adam = runpy.run_path(str(RAW)), optax.adam(1e-2)
    training = bh.Training(perceptron((8, 8), 2, "relu"), bh.softmax_cross_entropy, adam)

    def fit() -> object:
        return bh.fit(
            training, (x, y), key=jax.random.key(0), epochs=SMALL_EPOCHS, batch_size=len(x),
            validation=validation, metrics=[bh.accuracy], score_train=True,
        )  # fmt: skip

    weights, *_ = raw["start"]((2, 8, 8, 2), adam)
    scan = partial(raw["full_batch"](adam, SMALL_EPOCHS), weights, x, y, *validation)
    return {"small net: fit": partial(timed, fit), "small net: raw": partial(timed, scan)}


def starts(config: Config, cache: str) -> dict[str, Timer]:
    """A fresh process up to the end of its first epoch, without and with a compilation cache."""
    sizes = INPUTS, *config.hidden, CLASSES, config.examples // 10, config.batch_size
    prefix = "JAX_PERSISTENT_CACHE_MIN_"  # everything is cached, however small
    cached = {f"{prefix}COMPILE_TIME_SECS": "0", f"{prefix}ENTRY_SIZE_BYTES": "-1"}
    cached |= {"JAX_COMPILATION_CACHE_DIR": cache}
    kinds = {"start": {"JAX_ENABLE_COMPILATION_CACHE": "0"}, "cached start": cached}
    timers: dict[str, Timer] = {}
    for kind, environment in kinds.items():
        for name, program in {"fit": ("-c", FIT), "raw": (str(RAW),)}.items():
            command = [sys.executable, *program, *map(str, sizes)]
            start = partial(subprocess.run, command, check=True, env=os.environ | environment)
            timers[f"{kind}: {name}"] = partial(timed, start)
    return timers


GOOD = "By hand is as fast as by autodiff, and the library hardly slower than raw JAX."
BAD = "Something is clearly slower here than the library claims: the table says what."
UNCLEAR = "No ratio of times is clearly over its bar; some need more rounds to be sure."
READING = """How many times as long one took as the other: the median over the rounds, and its 95 %
bootstrap interval. Over is a ratio whose whole interval is above its bar, within one that is
nowhere above. By hand is an epoch of make_epoch; one of fit also scores a tenth of the examples;
raw is plain JAX."""


def report(_: Config, run: runs.Run) -> Report:
    """The page: each claim's ratio beside its bar."""
    seconds = run.kept["bench"].facts["times"]
    ratios, bars, rows = {}, {}, []
    for one, other, bar in CLAIMS:
        if {one, other} <= set(seconds):
            name = f"{one} / {other}"
            middle, low, high = ratio(seconds[one], seconds[other]).values()
            ratios[name], bars[name] = (middle, low, high), bar
            verdict = "over" if low > bar else "within" if high <= bar else "unclear"
            rows.append((name, f"{middle:.3f}", f"{low:.3f}–{high:.3f}", f"{bar:.2f}", verdict))
    verdicts = {row[-1] for row in rows}
    finding = BAD if "over" in verdicts else UNCLEAR if "unclear" in verdicts else GOOD
    drawing = plots.intervals(ratios, "One's time / the other's", "ratio", ("bar", bars))
    table = Table(("time of", "ratio", "95 %", "bar", "verdict"), rows)
    medians = [(name, f"{np.median(times):.3f}") for name, times in seconds.items()]
    pieces = [paragraph(READING), table.html(), Table(("contestant", "median s"), medians).html()]
    return Report("What it costs in time", finding, run.figure("time", drawing), pieces, table)


if __name__ == "__main__":
    runs.main(Config, train, report, description="Time epochs by hand, by autodiff, in raw JAX.")
