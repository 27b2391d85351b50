"""The cost ledger: what does each layer's backward pass cost, by hand and by autodiff?

For every layer and some whole nets, side by side:

    kept    bytes that wait from forward to backward, each array once; parameters, there anyway, are left out
    FLOPs   of the backward pass, as XLA counts them in what it compiled
    temp    bytes of scratch space of the compiled backward pass
    time    forward and backward in one jitted function, by hand / by autodiff, in interleaved rounds

Losses are printed as plainly as wins. `make costs` runs it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import runs
from backhand.checks import positive_integer, seed_in_range
from backhand.reporting import page as report
from backhand.reporting.timing import interleaved, ratio

WIDTH = 1024  # of what goes into an activation
MARGIN = 1.05  # slower than this, and there has to be a cure, or a reason here:
REASONS: dict[str, str] = {}
LAYERS = {
    "linear(256)": (bh.linear(256), 784),
    "relu": (bh.relu, WIDTH),
    "leaky_relu()": (bh.leaky_relu(), WIDTH),
    "elu()": (bh.elu(), WIDTH),
    "softplus": (bh.softplus, WIDTH),
    "tanh": (bh.tanh, WIDTH),
    "sigmoid": (bh.sigmoid, WIDTH),
    "gelu": (bh.gelu, WIDTH),
    "silu": (bh.silu, WIDTH),
    "softmax": (bh.softmax, WIDTH),
    "residual(tanh)": (bh.residual(bh.tanh), WIDTH),
    "parallel(tanh, gelu)": (bh.parallel(bh.tanh, bh.gelu), WIDTH),
}
# The lab's three, and the bench's: relu units, softmax cross-entropy.
NETS = ((64, 10), (64, 128, 10), (64, 128, 64, 10), (784, 256, 128, 10))


@dataclass(frozen=True)
class Config:
    """What is measured, and how often."""

    batch: int = 128
    """Examples a batch."""
    rounds: int = 100
    """How often each contestant is timed."""
    seed: int = 0
    """Seeds data, weights and the order of contestants."""
    out: Path = Path("runs/costs")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        positive_integer("config", "batch", self.batch)
        positive_integer("config", "rounds", self.rounds, least=2)
        seed_in_range("config", self.seed)


class Passes(NamedTuple):
    """One way to differentiate: `forward(params, x)` -> (y, kept), and `backward(params, kept, dy)`."""

    forward: Callable[[Any, Any], tuple[Any, Any]]
    backward: Callable[[Any, Any, Any], Any]


def run(config: Config, run: runs.Run) -> None:
    """Measure every subject; print the ledger and leave the report."""
    rng = np.random.default_rng(config.seed)
    results: dict[str, dict[str, Any]] = {}
    contests: dict[str, dict[str, Callable[[], Any]]] = {}
    for name, layer, x, ways in subjects(config, rng):
        params = layer.init(jax.random.key(config.seed), x)
        results[name], contests[name] = {}, {}
        for way, passes in ways.items():
            results[name][way], contests[name][way] = measure(passes, params, x, rng)
    times = interleaved(contests, config.rounds, rng)
    for name, seconds in times.items():
        for number in range(config.rounds):
            run.log(subject=name, round=number, **{way: numbers[number] for way, numbers in seconds.items()})
        for way, numbers in seconds.items():
            results[name][way]["seconds"] = float(np.median(numbers))
        r = ratio(seconds["by hand"], seconds["autodiff"])
        results[name] |= {"ratio": r, "verdict": verdict(r)}
    run.write_json("results.json", results)
    print_ledger(config, results)
    print(f"report  {write_report(config, run)}")


def subjects(
    config: Config, rng: np.random.Generator
) -> Iterator[tuple[str, bh.Layer, Any, dict[str, Passes]]]:
    """Each subject's name, layer, input, and ways to differentiate it."""
    for name, (layer, inputs) in LAYERS.items():
        yield (
            name,
            layer,
            jnp.asarray(rng.standard_normal((config.batch, inputs), np.float32)),
            of_layer(layer),
        )
    for widths in NETS:
        x = jnp.asarray(rng.random((config.batch, widths[0]), np.float32))
        y = jnp.asarray(rng.integers(0, widths[-1], config.batch, np.int32))
        net = perceptron(widths)
        yield "net " + "-".join(map(str, widths)), net, x, of_net(net, bh.softmax_cross_entropy, y)


def perceptron(widths: tuple[int, ...]) -> bh.Layer:
    """The lab's net: relu units between linear layers."""
    hidden = [layer for width in widths[1:-1] for layer in (bh.linear(width, bh.he), bh.relu)]
    return bh.serial(*hidden, bh.linear(widths[-1]))


def of_layer(layer: bh.Layer) -> dict[str, Passes]:
    """A layer's two ways from dy to (dparams, dx)."""

    def forward(params: Any, x: Any) -> Any:
        return layer.forward(params, x, jax.random.key(0))  # no layer of the ledger looks at it

    def vjp(params: Any, x: Any) -> Any:
        return jax.vjp(lambda params, x: forward(params, x)[0], params, x)

    return {
        "by hand": Passes(forward, layer.backward),
        "autodiff": Passes(vjp, lambda params, pull_back, dy: pull_back(dy)),
    }


def of_net(net: bh.Layer, loss: bh.Loss, target: Any) -> dict[str, Passes]:
    """A net's two ways from dy, which in a training step is 1, to dparams."""

    def forward(params: Any, x: Any) -> Any:
        prediction, residuals = net.forward(params, x, jax.random.key(0))
        value, loss_residuals = loss.forward(prediction, target)
        return value, (residuals, loss_residuals)

    def backward(params: Any, kept: Any, dy: Any) -> Any:
        residuals, loss_residuals = kept
        dprediction = dy * loss.backward(loss_residuals)
        return net.backward(params, residuals, dprediction)[0]

    def vjp(params: Any, x: Any) -> Any:
        return jax.vjp(lambda params: forward(params, x)[0], params)

    return {
        "by hand": Passes(forward, backward),
        "autodiff": Passes(vjp, lambda params, pull_back, dy: pull_back(dy)[0]),
    }


def measure(
    passes: Passes, params: Any, x: Any, rng: np.random.Generator
) -> tuple[dict[str, Any], Callable[[], Any]]:
    """What one way keeps and costs, and a call of its two passes in one, to be timed."""
    y, kept = passes.forward(params, x)
    dy = jnp.asarray(rng.standard_normal(y.shape), y.dtype) if y.shape else jnp.ones_like(y)

    @jax.jit
    def both(params: Any, x: Any, dy: Any) -> Any:
        y, kept = passes.forward(params, x)
        return y, passes.backward(params, kept, dy)

    compiled = jax.jit(passes.backward).lower(params, kept, dy).compile()
    return {"kept_bytes": kept_bytes(kept, params), **costs(compiled)}, lambda: both(params, x, dy)


def kept_bytes(kept: Any, params: Any) -> int:
    """The bytes of the arrays in `kept`, each counted once, and none that is a parameter."""
    arrays = {id(leaf): leaf for leaf in jax.tree.leaves(kept)}
    return sum(arrays[i].nbytes for i in arrays.keys() - {id(leaf) for leaf in jax.tree.leaves(params)})


def costs(compiled: Any) -> dict[str, Any]:
    """FLOPs and scratch bytes of what XLA compiled; None where this backend does not tell."""
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return {
        "flops": (analysis or {}).get("flops"),
        "temp_bytes": None if memory is None else memory.temp_size_in_bytes,
    }


def verdict(r: dict[str, float]) -> str:
    """What the interval of the ratio by hand / autodiff says."""
    if r["low"] > 1:
        return "slower" if r["low"] > MARGIN else "a bit slower"
    return "faster" if r["high"] < 1 else "even"


def ledger(results: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Header and rows of the ledger."""

    def words(n: float | None) -> str:
        if n is None or np.isnan(n):  # NaN is what a run's files give back for None
            return "–"
        return f"{n:,.0f}" if n >= 10 or n == 0 else f"{n:.2g}"

    def pair(result: dict[str, Any], what: str, unit: float) -> str:
        numbers = [result[way][what] for way in ("by hand", "autodiff")]
        return " / ".join(words(None if n is None else n / unit) for n in numbers)

    rows: list[tuple[str, ...]] = [("", "kept KiB", "MFLOP", "temp KiB", "µs", "time, 95 %", "verdict")]
    for name, result in results.items():
        r = result["ratio"]
        rows.append(
            (
                name,
                pair(result, "kept_bytes", 1024),
                pair(result, "flops", 1e6),
                pair(result, "temp_bytes", 1024),
                f"{1e6 * result['by hand']['seconds']:,.0f}",
                f"{r['median']:.2f} {r['low']:.2f}–{r['high']:.2f}",
                result["verdict"],
            )
        )
    return rows


def remarks(results: dict[str, dict[str, Any]]) -> list[str]:
    """What the ledger comes to, and a sentence on each subject that is slower than the margin."""
    verdicts = [result["verdict"] for result in results.values()]
    kept = [np.sign(r["by hand"]["kept_bytes"] - r["autodiff"]["kept_bytes"]) for r in results.values()]
    lines = [
        f"Time: by hand is faster than by autodiff for {verdicts.count('faster')} of {len(verdicts)}, not to be told "
        f"apart from it for {verdicts.count('even')}, a bit slower for {verdicts.count('a bit slower')}, and slower "
        f"by more than {MARGIN - 1:.0%} for {verdicts.count('slower')}.",
        f"Memory: by hand keeps less for {kept.count(-1)}, as much for {kept.count(0)}, and more for {kept.count(1)}. "
        "Where its backward pass takes more FLOPs, it computes there what autodiff did going forward, and kept.",
    ]
    for name, result in results.items():
        if result["verdict"] == "slower":
            lines.append(f"{name}: slower, {REASONS.get(name, 'for a reason not yet found')}.")
    return lines


def print_ledger(config: Config, results: dict[str, dict[str, Any]]) -> None:
    """The ledger on the terminal, 100 columns wide at most."""
    header, *rows = ledger(results)
    runs.print_table(header, rows, f"by hand / by autodiff, batch {config.batch}")
    for remark in remarks(results):
        print(fill(remark, 100))


def write_report(config: Config, run: runs.Run) -> Path:
    """The ledger as a page, from the run's files."""
    results = run.read_json("results.json")
    header, *rows = ledger(results)
    lead, *others = remarks(results)
    pieces = [
        report.paragraph(lead, lead=True),
        *map(report.paragraph, others),
        report.table(header, rows),
        report.paragraph(
            f"Each pair is by hand / by autodiff, at batch {config.batch}. Kept: the arrays that wait from forward to "
            f"backward, each counted once and without the parameters; inside one jitted step XLA may compute some "
            f"of them again instead. FLOPs and temp: of the backward pass, as XLA compiled it; it does not count "
            f"tanh, exp and their kin as FLOPs. Time: forward and backward in one jitted function, the "
            f"median by hand of {config.rounds} interleaved rounds, and the median of the rounds' ratios, by hand / "
            f"autodiff, with a 95 % bootstrap interval."
        ),
        *run.again(),
    ]
    return run.write("report.html", report.page("What a backward pass costs", *pieces))


if __name__ == "__main__":
    runs.main(Config, run, "Memory, FLOPs and time of every backward pass, by hand and by autodiff.")
