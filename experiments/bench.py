"""The bench: what does writing backprop by hand, and using this library, cost in time?

An epoch of the same perceptron on MNIST-shaped data is timed six ways, one after the other, round after
round: machines are shared and noisy, so only ratios within a round mean anything. `make bench` runs it.
"""

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
from backhand import runs
from backhand.checks import positive_integer
from backhand.gradients import Gradient
from backhand.reporting.timing import ratio
from backhand.training.loop import Loop
from backhand.training.step import score

INPUTS, CLASSES = 784, 10


@dataclass(frozen=True)
class Config:
    """What is timed, and how often."""

    hidden: tuple[int, int] = (256, 128)
    """The two hidden widths of the perceptron, of relu units."""
    batch_size: int = 128
    """Examples a step."""
    examples: int = 60_000
    """Examples an epoch, of 784 random numbers each."""
    rounds: int = 20
    """How often each epoch is timed; the first, with its compilation, is not counted."""
    seed: int = 0
    """Seeds data, weights and the order of contestants."""
    out: Path = Path("runs/bench")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for width in self.hidden:
            positive_integer("config", "hidden", width)
        positive_integer("config", "rounds", self.rounds, least=2)
        positive_integer("config", "batch_size", self.batch_size)
        positive_integer("config", "examples", self.examples, least=self.batch_size)


def run(config: Config, run: runs.Run) -> None:
    """Time every contestant in every round, in an order drawn for each; print times and ratios."""
    rng = np.random.default_rng(config.seed)
    x = jnp.asarray(rng.random((config.examples, INPUTS), np.float32))
    y = jnp.asarray(rng.integers(0, CLASSES, config.examples, np.int32))
    net = bh.serial(
        bh.linear(config.hidden[0], bh.he),
        bh.relu,
        bh.linear(config.hidden[1], bh.he),
        bh.relu,
        bh.linear(CLASSES),
    )
    optimizer = optax.adam(1e-3)
    traces = dict.fromkeys(("by hand", "autodiff"), 0)

    def counted(name: str, gradient: Gradient) -> Gradient:
        def count(*args: Any) -> Any:
            traces[name] += 1  # runs when JAX traces the step, not when the step runs
            return gradient(*args)

        return count

    loss = bh.softmax_cross_entropy
    some = x[: config.examples // 10 or 1], y[: config.examples // 10 or 1]
    step = bh.make_step(bh.manual(net, loss), optimizer)
    bare = bh.make_epoch(step, config.batch_size)

    def with_metrics(state: bh.TrainState, x: Any, y: Any) -> tuple[bh.TrainState, Any]:
        """An epoch as one watches it: its mean loss, then loss and accuracy on a tenth of the examples."""
        state, values = bare(state, x, y)
        score(net, loss, state.params, *some, [bh.accuracy])
        return state, values.mean(keepdims=True)

    def guarded(loop: Loop, *_: Any) -> tuple[Loop, Any]:
        """An epoch as `fit` takes it: in chunks, each looked through for numbers that are not finite."""
        return loop, loop.epoch()

    contestants: dict[str, Callable[[Any, Any, Any], Any]] = {
        "by hand": bh.make_epoch(
            bh.make_step(counted("by hand", bh.manual(net, loss)), optimizer), config.batch_size
        ),
        "by hand, with metrics": with_metrics,
        "by hand, guarded": guarded,
        "autodiff": bh.make_epoch(
            bh.make_step(counted("autodiff", bh.autodiff(net, loss)), optimizer), config.batch_size
        ),
        "raw scan": raw_scan(optimizer, config.batch_size),
        "raw loop": raw_loop(optimizer, config.batch_size),
    }
    states: dict[str, Any] = {}
    for name in contestants:
        state = bh.init_state(jax.random.key(config.seed), net, optimizer, x)
        weights = tuple(tuple(p) for p in state.params if p)
        states[name] = (weights, optimizer.init(weights), state.key) if name.startswith("raw") else state
        if contestants[name] is guarded:
            states[name] = Loop(state, step, (x, y), net=net, loss=loss, batch_size=config.batch_size)

    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(config.rounds + 1):
        for name in rng.permutation(list(contestants)):
            start = time.perf_counter()
            states[name], values = jax.block_until_ready(contestants[name](states[name], x, y))
            elapsed = time.perf_counter() - start
            if number > 0:
                seconds[name].append(elapsed)
                run.log(round=number, contestant=str(name), seconds=elapsed, loss=float(values[-1]))

    results = {
        "seconds": {name: float(np.median(times)) for name, times in seconds.items()},
        "ratios": {
            name: ratio(seconds["by hand"], seconds[name]) for name in contestants if name != "by hand"
        },
        "metrics_over_raw": ratio(seconds["by hand, with metrics"], seconds["raw scan"]),
        "guarded_over_bare": ratio(seconds["by hand, guarded"], seconds["by hand"]),
        "traces": traces,
    }
    run.write_json("results.json", results)
    print_table(config, results)


def raw_gradient(weights: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The same maths as one would write it once, for this net alone, in plain JAX."""
    (w1, b1), (w2, b2), (w3, b3) = weights
    h1 = jnp.maximum(x @ w1 + b1, 0)
    h2 = jnp.maximum(h1 @ w2 + b2, 0)
    z = h2 @ w3 + b3
    z = z - z.max(1, keepdims=True)
    total = jnp.exp(z).sum(1, keepdims=True)
    value = (jnp.log(total)[:, 0] - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]).mean()
    d3 = (jnp.exp(z) / total - jax.nn.one_hot(y, CLASSES, dtype=z.dtype)) / len(x)
    d2 = jnp.where(h2 > 0, d3 @ w3.T, 0)
    d1 = jnp.where(h1 > 0, d2 @ w2.T, 0)
    return value, ((x.T @ d1, d1.sum(0)), (h1.T @ d2, d2.sum(0)), (h2.T @ d3, d3.sum(0)))


def raw_step(optimizer: optax.GradientTransformation) -> Callable[[Any, Any, Any], Any]:
    """One step of the raw training."""

    def step(carry: Any, x: Any, y: Any) -> Any:
        weights, opt_state = carry
        value, gradient = raw_gradient(weights, x, y)
        updates, opt_state = optimizer.update(gradient, opt_state, weights)
        return (optax.apply_updates(weights, updates), opt_state), value

    return step


def raw_scan(optimizer: optax.GradientTransformation, batch_size: int) -> Callable[[Any, Any, Any], Any]:
    """A raw epoch in one jitted scan, with the library's kind of shuffling: the fastest we know to write."""
    step = raw_step(optimizer)

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, x: Any, y: Any) -> Any:
        *carry, key = state
        key, order_key = jax.random.split(key)
        order = jax.random.permutation(order_key, len(x))
        rows = order[: len(x) // batch_size * batch_size].reshape(-1, batch_size)
        carry, values = jax.lax.scan(lambda carry, r: step(carry, x[r], y[r]), tuple(carry), rows)
        return (*carry, key), values

    return epoch


def raw_loop(optimizer: optax.GradientTransformation, batch_size: int) -> Callable[[Any, Any, Any], Any]:
    """A raw epoch as most tutorials write it: a Python loop that calls a jitted step."""
    step = jax.jit(raw_step(optimizer))

    def epoch(state: Any, x: Any, y: Any) -> Any:
        *carry, key = state
        key, order_key = jax.random.split(key)
        order = np.asarray(jax.random.permutation(order_key, len(x)))
        values = []
        for start in range(0, len(x) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            carry, value = step(tuple(carry), x[rows], y[rows])
            values.append(value)
        return (*carry, key), values

    return epoch


def print_table(config: Config, results: dict[str, Any]) -> None:
    """Times and ratios on the terminal."""
    net = "-".join(map(str, (INPUTS, *config.hidden, CLASSES)))
    rows = []
    for name, median in results["seconds"].items():
        r = results["ratios"].get(name)
        cells = (f"{r['median']:.3f}", f"{r['low']:.3f} – {r['high']:.3f}") if r else ("", "")
        rows.append((name, f"{median:.3f}", *cells, str(results["traces"].get(name, ""))))
    title = f"an epoch of {net}: {config.examples:,} examples, batch {config.batch_size}, Adam"
    runs.print_table(("", "median s", "by hand / it", "95 % interval", "traces"), rows, title)
    r, guard = results["metrics_over_raw"], results["guarded_over_bare"]
    print(
        f"with a guard against numbers that are not finite / without: {guard['median']:.3f} "
        f"({guard['low']:.3f} – {guard['high']:.3f})\n"
        f"with shuffling and metrics, by hand / raw scan: {r['median']:.3f} ({r['low']:.3f} – {r['high']:.3f})\n"
        f"metrics: the training loss as it runs; loss and accuracy after it, on {config.examples // 10 or 1:,} examples"
    )


if __name__ == "__main__":
    runs.main(Config, run, "Time an epoch by hand, by autodiff, and in raw JAX, in interleaved rounds.")
