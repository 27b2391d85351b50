"""The cost ledger: what does each layer's backward pass cost, by hand and by autodiff?

The report's LEDGER and TIMES say what is measured. Losses are reported as plainly as wins. `make
costs` runs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import plots, runs
from backhand.checks import positive_integer
from backhand.layer import Array, Key, Params, Residuals, Tree
from backhand.models import perceptron, perceptron_name
from backhand.reporting import Report, Table, interleaved, paragraph, ratio
from backhand.training import Progress
from backhand.verify.catalogue import ACTIVATIONS

WIDTH = 1024  # of what goes into an activation
# The lab's three nets, and the bench's, of relu units.
NETS = ((64, (), 10), (64, (128,), 10), (64, (128, 64), 10), (784, (256, 128), 10))
SUBJECTS = {
    "linear(256)": (bh.linear(256), 784),
    **{layer.name: (layer, WIDTH) for layer in ACTIVATIONS},
    "residual(tanh)": (bh.residual(bh.tanh), WIDTH),
    "parallel(tanh, gelu)": (bh.parallel(bh.tanh, bh.gelu), WIDTH),
    **{
        perceptron_name(inputs, hidden, classes): (perceptron(hidden, classes, "relu"), inputs)
        for inputs, hidden, classes in NETS
    },
}
MARGIN = 1.05  # a ratio of times that is clearly above this is slower


@dataclass(frozen=True)
class Config(runs.Config):
    """What is measured, and how often."""

    batch: int = 128
    """Examples a batch."""
    rounds: int = 100
    """How often each contestant is timed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("config", "batch", self.batch)
        positive_integer("config", "rounds", self.rounds, least=2)


def ways(layer: bh.Layer) -> dict[str, bh.Layer]:
    """The layer, and one whose residuals and backward are autodiff's."""

    def forward(params: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
        return jax.vjp(lambda params, x: layer.forward(params, x, key)[0], params, x)

    def backward(_: Params, pull_back: Callable[[Array], Tree], dy: Array) -> Tree:
        return pull_back(dy)

    return {"by hand": layer, "autodiff": layer._replace(forward=forward, backward=backward)}


def train(config: Config, run: runs.Run) -> None:
    """Measure every subject, then time them all in interleaved rounds."""
    rng = np.random.default_rng(config.seed)
    progress = Progress(1, parts=len(SUBJECTS) + 1)
    measured: dict[str, dict[str, Any]] = {}
    contests: dict[str, dict[str, Callable[[], Tree]]] = {}
    for number, (name, (layer, inputs)) in enumerate(SUBJECTS.items()):
        progress.begin(number, name)
        x = jnp.asarray(rng.standard_normal((config.batch, inputs), np.float32))
        params = layer.init(jax.random.key(config.seed), x)
        dy = jnp.asarray(rng.standard_normal(layer.apply(params, x).shape), np.float32)
        measured[name], contests[name] = {}, {}
        for way, either in ways(layer).items():
            measured[name][way], contests[name][way] = measure(either, params, x, dy)
    progress.begin(len(SUBJECTS), "timing", config.rounds)
    times = interleaved(contests, config.rounds, rng, on_round=lambda n: progress.show(n, {}))
    progress.clear()
    for name, seconds in times.items():
        run.keep(name, **measured[name], times=seconds)


def measure(
    layer: bh.Layer, params: Params, x: Array, dy: Array
) -> tuple[dict[str, float | None], Callable[[], Tree]]:
    """What one way keeps and costs, and a call of its two passes in one, to be timed."""

    @jax.jit
    def both(params: Params, x: Array, dy: Array) -> tuple[Array, Tree]:
        y, kept = layer.forward(params, x, jax.random.key(0))
        return y, layer.backward(params, kept, dy)

    _, kept = layer.forward(params, x, jax.random.key(0))
    compiled = jax.jit(layer.backward).lower(params, kept, dy).compile()
    costs = {"kept": float(kept_bytes(kept, params)), **compiled_costs(compiled)}
    return costs, partial(both, params, x, dy)


def kept_bytes(kept: Residuals, params: Params) -> int:
    """The bytes of the arrays in `kept`, each counted once, and none that is a parameter."""
    arrays = {id(leaf): leaf for leaf in jax.tree.leaves(kept)}
    return sum(arrays[i].nbytes for i in arrays.keys() - {id(p) for p in jax.tree.leaves(params)})


def compiled_costs(compiled: Any) -> dict[str, float | None]:
    """FLOPs and scratch bytes of what XLA compiled; None if this backend does not tell."""
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    temp = None if memory is None else memory.temp_size_in_bytes
    return {"flops": (analysis or {}).get("flops"), "temp": temp}


def verdict(low: float, high: float) -> str:
    """What the interval of the ratio by hand / autodiff says."""
    if low > 1:
        return "slower" if low > MARGIN else "a bit slower"
    return "faster" if high < 1 else "even"


FAST = "No backward pass by hand is clearly slower than autodiff's."
SLOW = "Some backward pass by hand is slower than autodiff's: the table says which."
TIMES = """
Time is that of forward and backward in one jitted function: the median by hand, the median of the
rounds' ratios by hand / autodiff, and its 95 % bootstrap interval. Slower is what takes more than
5 % longer over its whole interval."""
LEDGER = """
Each pair is by hand / by autodiff. Kept: the arrays that wait from forward to backward; inside
one jitted step XLA may compute some again instead. FLOPs and scratch space are of the backward
pass as XLA compiled it; it does not count tanh, exp and their kin. If the pass by hand takes more
FLOPs, it computes there what autodiff computed going forward, and kept."""


def report(config: Config, run: runs.Run) -> Report:
    """The page: the ratios of times, and the ledger."""
    ratios, times, ledger = {}, [], []
    for name, kept in run.kept.items():
        by_hand, autodiff = (kept.facts["times"][way] for way in ("by hand", "autodiff"))
        middle, low, high = ratio(by_hand, autodiff).values()
        ratios[name] = (middle, low, high)
        says = (f"{middle:.2f}", f"{low:.2f}–{high:.2f}", verdict(low, high))
        times.append((name, f"{1e6 * np.median(by_hand):,.0f}", *says))
        units = {"kept": 1024, "flops": 1e6, "temp": 1024}
        ledger.append((name, *(pair(kept.facts, what, unit) for what, unit in units.items())))
    caption = f"Times by hand / by autodiff, batch {config.batch}"
    table = Table(("", "µs by hand", "ratio", "95 %", "verdict"), times, caption)
    slow = any(row[-1] == "slower" for row in times)
    even = ("as fast", dict.fromkeys(ratios, 1.0))
    drawing = plots.intervals(ratios, "Forward and backward", "time by hand / by autodiff", even)
    costs = Table(("", "kept, KiB", "MFLOP", "scratch, KiB"), ledger, "Memory and FLOPs")
    pieces = [paragraph(TIMES), table.html(), paragraph(LEDGER), costs.html()]
    picture = run.figure("times", drawing, wide=True)
    return Report("What a backward pass costs", SLOW if slow else FAST, picture, pieces, table)


def pair(facts: Mapping[str, Any], what: str, unit: float) -> str:
    """A cost by hand / by autodiff."""

    def number(n: float | None) -> str:
        return "–" if n is None else f"{n / unit:,.{0 if n >= 10 * unit or n == 0 else 2}f}"

    return " / ".join(number(facts[way][what]) for way in ("by hand", "autodiff"))


if __name__ == "__main__":
    runs.main(Config, train, report, description="What every backward pass costs.")
