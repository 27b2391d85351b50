"""The loss functions, their slopes, and the logits at which the numbers break.

Every value is our `loss.forward`'s and every slope our `loss.backward`'s, of one example at a time.
Slopes are compared with differences of the forward. Two logits far apart then show what happens to
cross-entropy when a probability underflows. Try `make losses PRECISION=float16`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import runs
from backhand.checks import within
from backhand.layer import Array
from backhand.plots import Drawing, Function, value_and_slope
from backhand.reporting import Measure, Report, Table, figures, heading, paragraph, table_of
from backhand.training import Progress

STEP = 1e-5  # of central differences, in float64
WAYS = {
    "textbook": "textbook, by jax.grad",
    "apart": "softmax, then cross_entropy",
    "fused": "fused",
}

Number: TypeAlias = Callable[[Array], Array]  # a function of one number
Found: TypeAlias = Mapping[str, Any]  # arrays over the places x or z at which they were computed


@dataclass(frozen=True)
class Config(runs.Config):
    """What is drawn, and in which precision."""

    delta: float = 1.0
    """Huber's δ, in units of y: the loss is squared up to there, and a straight line beyond."""
    span: float = 3.0
    """Errors are drawn from −span to span, in units of y."""
    precision: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """What losses and slopes are computed in; in each, the numbers break at different logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("delta", "span"):
            within("config", name, getattr(self, name), 0.01, 100)  # float16 can square these


ZERO_ONE = bh.Loss(  # a metric has no backward: its slope is jax.grad's
    lambda p, y: (bh.zero_one(p, y), (p, y)), lambda kept: jax.grad(bh.zero_one)(*kept)
)


class Subject(NamedTuple):
    """The loss of one example as a function of one number x, of which its prediction is made."""

    loss: bh.Loss
    unit: str
    prediction: Number
    target: float  # an int is a label
    ends: tuple[float, float]  # of x
    kinks: tuple[float, ...] = ()  # where the slope jumps or is not defined

    def at(self, x: Array) -> tuple[Array, Array]:
        """The loss by our forward; its slope by the prediction's last entry, by our backward."""
        dtype = jnp.int32 if isinstance(self.target, int) else x.dtype
        value, kept = self.loss.forward(self.prediction(x), jnp.full(1, self.target, dtype))
        return value, self.loss.backward(kept).ravel()[-1]


def subjects(config: Config) -> dict[str, Subject]:
    """What is drawn, by name."""

    def error(e: Array) -> Array:
        return e[None]

    def two_classes(p: Array) -> Array:
        return jnp.stack([1 - p, p])[None]

    def logit(z: Array) -> Array:
        return z[None, None]

    huber, ends = bh.huber(config.delta), (-config.span, config.span)
    bends = (-config.delta, config.delta) if config.delta < config.span else ()
    return {
        "absolute error": Subject(bh.absolute_error, "units of y", error, 0.0, ends, (0,)),
        "squared error": Subject(bh.squared_error, "units of y²", error, 0.0, ends),
        "Huber": Subject(huber, "units of y²", error, 0.0, ends, bends),
        "zero-one": Subject(ZERO_ONE, "share wrong", two_classes, 1, (0, 1), (0.5,)),
        "cross-entropy": Subject(bh.cross_entropy, "nats", two_classes, 1, (0.04, 1)),
        "logistic, y = 1": Subject(bh.logistic, "nats", logit, 1, (-6, 6)),
        "logistic, y = 0": Subject(bh.logistic, "nats", logit, 0, (-6, 6)),
        "zero-one, y = 1": Subject(ZERO_ONE, "share wrong", logit, 1, (-6, 6), (0,)),
    }


def train(config: Config, run: runs.Run) -> None:
    """Compute every loss, compare its slopes, and try logits far apart."""
    named, sizes = subjects(config), np.logspace(-1, 4, 251)
    underflow = -np.log(float(jnp.finfo(config.precision).smallest_subnormal))
    grids = {
        "all logits": np.concatenate([-sizes[::-1], [0], sizes]),
        "near logits": np.linspace(-1.1 * underflow, 1.1 * underflow, 10_001),
    }
    progress = Progress(1, parts=len(named) + len(grids))
    for part, name in enumerate([*named, *grids]):
        progress.begin(part, name)
        if name in named:
            run.keep(name, **examine(named[name], config.precision))
        else:
            z = rounded(grids[name], config.precision)
            run.keep(name, **cross_entropies(z, config.precision))
    progress.clear()


def examine(subject: Subject, precision: str) -> dict[str, Any]:
    """Value and slope at many x, and how far off differences of the value the slope is."""
    even = rounded(np.linspace(*subject.ends, 241), precision)
    checked = even[10::20]  # 12 places, none in the middle or at an end, where the kinks are
    kinks = rounded(np.array(subject.kinks, np.float64), precision)
    x = np.union1d(even, kinks)
    value, slope = of_each(subject.at, x, precision)
    (up, down), _ = of_each(subject.at, np.stack([checked + STEP, checked - STEP]), "float64")
    central = (up - down) / (2 * STEP)
    off = np.abs(slope[np.searchsorted(x, checked)] - central) / (1 + np.abs(central))
    found = {"x": x, "value": value, "slope": slope, "checked": checked, "central": central}
    return found | {"kinks": np.searchsorted(x, kinks), "off": off.max(keepdims=True)}


def rounded(x: np.ndarray, precision: str) -> np.ndarray:
    """What is left of x in this precision, in float64."""
    return x.astype(jnp.dtype(precision)).astype(np.float64)


def of_each(f: Callable[[Array], Any], x: np.ndarray, precision: str) -> Any:
    """f of each number of x, computed in this precision; what it returns, in float64."""
    with jax.enable_x64(precision == "float64"):
        out = jax.jit(jax.vmap(f))(jnp.asarray(x.ravel(), jnp.dtype(precision)))
    return jax.tree.map(lambda a: np.asarray(a).astype(np.float64).reshape(x.shape), out)


def cross_entropies(z: np.ndarray, precision: str) -> dict[str, Any]:
    """Loss and ∂L/∂z of the logits (z, 0) with label 0, computed in three ways, and exactly."""
    label, key = np.zeros(1, np.int32), jax.random.key(0)  # softmax draws nothing

    def row(z: Array) -> Array:
        return jnp.stack([z, jnp.zeros_like(z)])[None]

    def textbook(z: Array) -> Array:
        return -jnp.log((jnp.exp(row(z)) / jnp.exp(row(z)).sum())[0, 0])

    def apart(z: Array) -> tuple[Array, Array]:
        p, residuals = bh.softmax.forward((), row(z), key)
        value, loss_residuals = bh.cross_entropy.forward(p, label)
        _, dz = bh.softmax.backward((), residuals, bh.cross_entropy.backward(loss_residuals))
        return value, dz[0, 0]

    def fused(z: Array) -> tuple[Array, Array]:
        value, residuals = bh.softmax_cross_entropy.forward(row(z), label)
        return value, bh.softmax_cross_entropy.backward(residuals)[0, 0]

    found = {"z": z, "exact": np.logaddexp(0, -z), "exact_slope": -np.exp(-np.logaddexp(0, z))}
    for name, way in zip(WAYS, (jax.value_and_grad(textbook), apart, fused), strict=True):
        found[name], found[f"{name}_slope"] = of_each(way, z, precision)
    return found


def breaks(everywhere: Found, nearby: Found) -> Table:
    """At which logits each way to compute cross-entropy breaks, and how exact the fused one is."""
    z, steep = nearby["z"], nearby["textbook_slope"] < -0.5

    def first(broken: np.ndarray, sign: int) -> str:
        """The z nearest to 0, on the side of this sign, at which it is broken."""
        nearest = np.abs(z[broken & (sign * z > 0)]).min()
        return f"z {'≥ ' if sign > 0 else '≤ −'}{nearest:.4g}"

    value, slope = (everywhere[f"fused{k}"] - everywhere[f"exact{k}"] for k in ("", "_slope"))
    relative = np.abs(value) / (1 + everywhere["exact"])
    rows = [
        (first(nearby["apart_slope"] == 0, -1), "softmax, then cross_entropy: the gradient is 0"),
        (first(nearby["textbook"] == np.inf, -1), "textbook: the loss is infinite"),
        (first(steep, 1), "textbook: the gradient is nearer to −1 than to 0"),
        (first(np.isnan(nearby["textbook"]), 1), "textbook: the loss is NaN"),
        (f"by {relative.max():.1e}", "fused: the loss is off, relative to 1 + L"),
        (f"by {np.abs(slope).max():.1e}", "fused: the gradient is off"),
    ]
    return Table(("where", "what breaks"), rows, "Cross-entropy of the logits (z, 0), label 0")


RIGHT = (
    "Every slope by hand is the slope of its loss; and cross-entropy fused with softmax keeps its "
    "gradient where softmax followed by cross-entropy loses it."
)
WRONG = "A slope by hand is not the slope of its loss: the table of slopes says which."
FAR = """Two logits, (z, 0), and the label is the first: L = log(1 + exp(−z)) and ∂L/∂z = p − 1. The
textbook computes exp(z)/Σ exp(z), then −log p. At large z exp(z) overflows, and at very negative z
p is 0. Its gradient breaks first: it divides by the square of Σ exp(z), which overflows first.

Softmax subtracts the largest logit first, so nothing overflows; but p still underflows, and then
the gradient of cross_entropy is 0: the worst mistakes teach nothing. The fused
softmax_cross_entropy never takes the log of p."""
SECTIONS = {  # of losses drawn over the same x: how many, the axes, and how to read them
    "Over the error": (3, "error ŷ − y, units of y", "∂L/∂ŷ", """
The slope is how hard an error pulls on the fit. Every absolute error pulls alike, a squared one in
proportion to its size, and Huber's in proportion up to δ. At its kink, sign(0) is 0."""),
    "Over the probability of the true class": (2, "probability p of the true class", "∂L/∂p", """
The zero-one loss is what should be small, and nothing can be trained on it: it falls in one jump,
and its slope is 0 on both sides. Cross-entropy, −log p, has a slope wherever p can rise."""),
    "Over the logit": (3, "logit z", "∂L/∂z", """
The logistic loss is the cross-entropy of p = σ(z). By p its slope is −1/p, without bound near 0; by
the logit it is p − y, between −1 and 1. A tie, z = 0, is class 0."""),
}  # fmt: skip
CHECKED = """Largest |Δ|/(1 + |slope|), without kinks, of one example: the 1/N of a batch is 1. The
differences, (L(x + h) − L(x − h))/2h, are of our forward in float64."""
OFF = Measure("off differences of the forward", lambda loss: loss.facts["off"], form=".1e")


def report(config: Config, run: runs.Run) -> Report:
    """The page: where numbers break, every loss, and the slopes compared."""
    found: dict[str, Found] = {name: kept.facts for name, kept in run.kept.items()}
    named = subjects(config)
    by_hand = [run.kept[name] for name in named if named[name].loss is not ZERO_ONE]
    tolerance = 1e-6 + 16 * float(jnp.finfo(config.precision).eps)
    right = all(kept.facts["off"] <= tolerance for kept in by_hand)
    broken = breaks(found["all logits"], found["near logits"])
    pieces, rest = [*map(paragraph, FAR.split("\n\n")), broken.html()], iter(named)
    for title, (count, x_label, slope_label, words) in SECTIONS.items():
        names = list(islice(rest, count))
        group = [function(found[name]) for name in names]
        drawn = [
            run.figure(n, picture(n, named[n], found[n], x_label, slope_label, group))
            for n in names
        ]
        pieces += [heading(title), figures(*drawn), paragraph(words)]
    slopes = table_of([OFF], by_hand, "loss", caption="")
    pieces += [heading("The slopes, checked"), slopes.html(), paragraph(CHECKED)]
    top = run.figure("logits", far(found["all logits"]))
    return Report("The loss functions", RIGHT if right else WRONG, top, pieces, broken)


def far(a: Found) -> Drawing:
    """Cross-entropy over logits of all sizes, in three ways, and exactly."""
    lines = {label: Function(a["z"], a[way], a[f"{way}_slope"]) for way, label in WAYS.items()}
    exact = Function(*(a[key][10::20] for key in ("z", "exact", "exact_slope")))
    labels = "z of (z, 0), label 0", "L, nats", "∂L/∂z, nats"
    title = "cross-entropy of two logits"
    return value_and_slope(lines, {"exact": exact}, {}, title, labels, symlog=True)


def picture(
    name: str, subject: Subject, a: Found, x_label: str, slope: str, group: Sequence[Function]
) -> Drawing:
    """One loss, its slope, and differences of its forward beside it."""
    line = function(a)
    by = "slope by jax.grad" if subject.loss is ZERO_ONE else "slope by our backward"
    rings = {"slopes of the forward": Function(a["checked"], np.nan * a["central"], a["central"])}
    dots = {"at the kink": Function(*(y[a["kinks"]] for y in line))} if subject.kinks else {}
    labels = x_label, f"L, {subject.unit}", slope
    return value_and_slope({by: line}, rings, dots, name, labels, group)


def function(a: Found) -> Function:
    """What was computed of a loss, for a drawing."""
    return Function(a["x"], a["value"], a["slope"])


if __name__ == "__main__":
    runs.main(Config, train, report, description="The losses, and where the numbers break.")
