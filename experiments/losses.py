"""The loss functions, their derivatives, and where the numbers break.

Every value is our `loss.forward`'s and every derivative our `loss.backward`'s, of one example at a time;
beside them, as a check, the slopes of the forward's own values. Then two logits far apart show what becomes
of cross-entropy where a probability underflows. `make losses` runs it; `make losses DELTA=0.5` sets a flag.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import plots, runs
from backhand.checks import positive_number
from backhand.plots import Function
from backhand.reporting import page as report
from backhand.storage.digests import sha256

STEP = 1e-5  # of central differences, in float64
BESIDE = 0.01  # how far from a kink "below" and "above" are
# ±z of the table. At 88 … 104 float32's exp over- and underflows, at 700 … 750 float64's.
LOGITS = (1.0, 10.0, 50.0, 88.0, 100.0, 104.0, 700.0, 750.0, 1e3, 1e4)

Number: TypeAlias = Callable[[Any], Any]  # a function of one number
Limits: TypeAlias = tuple[float, float] | None  # of an axis
Rows: TypeAlias = list[tuple[str, ...]]  # of a table; its header is one, too


@dataclass(frozen=True)
class Config:
    """What is drawn, and in which precision."""

    delta: float = 1.0
    """Huber's δ, in units of y: a squared error up to there, an absolute one beyond."""
    span: float = 3.0
    """Errors are drawn from −span to span, in units of y."""
    precision: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """What losses and derivatives are computed in; each breaks at logits of its own."""
    out: Path = Path("runs/losses")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for name in ("delta", "span"):
            value = positive_number("config", name, getattr(self, name))
            if not 0.01 <= value <= 100:  # float16 can square these
                raise ValueError(f"config: {name} should be from 0.01 to 100, got {value}")


class Subject(NamedTuple):
    """The loss of one example as a function of one number x, its derivative, and where to look at them."""

    name: str
    value: Number
    slope: Number
    start: float
    stop: float
    kinks: Mapping[float, str] = {}  # where the slope jumps or is not defined, and what holds there


def run(config: Config, run: runs.Run) -> None:
    """Compute everything, print the table of the edge, leave the report."""
    arrays: dict[str, np.ndarray] = {}
    for stem, subject in subjects(config).items():
        arrays |= {f"{stem}.{key}": array for key, array in examine(subject, config.precision).items()}
    grids = logits(config.precision)
    for key, array in edge(np.concatenate(list(grids.values())), config.precision).items():
        pieces = np.split(array, np.cumsum([len(z) for z in grids.values()])[:-1])
        arrays |= {f"{stem}.{key}": piece for stem, piece in zip(grids, pieces, strict=True)}
    run.save_arrays("losses.safetensors", arrays)
    run.write_json("results.json", {"losses": differences(config, arrays), "edge": where_they_part(arrays)})
    run.receipt["losses_sha256"] = sha256(arrays)
    runs.print_table(*edge_table(arrays), f"cross-entropy of the logits (z, 0), label 0, {config.precision}")
    print(f"report  {write_report(config, run)}")


def subjects(config: Config) -> dict[str, Subject]:
    """What is drawn, by the stem of its files."""
    span, delta = config.span, config.delta
    bends = (-delta, delta) if delta < span else ()
    absolute, squared, huber = (
        along(loss, lambda e: e[None], lambda e: jnp.zeros_like(e)[None])
        for loss in (bh.absolute_error, bh.squared_error, bh.huber(delta))
    )

    def label_0(_: Any) -> Any:
        return jnp.zeros(1, jnp.int32)

    def label_1(_: Any) -> Any:
        return jnp.ones(1, jnp.int32)

    def two_classes(p: Any) -> Any:
        return jnp.stack([1 - p, p])[None]

    def one_logit(z: Any) -> Any:
        return z[None, None]

    def wrong(prediction: Number) -> tuple[Number, Number]:
        def value(x: Any) -> Any:
            return bh.zero_one(prediction(x), label_1(x))

        return value, jax.grad(value)  # a metric has no backward

    return {
        "absolute": Subject("absolute error", *absolute, -span, span, {0: "sign(0) = 0"}),
        "squared": Subject("squared error", *squared, -span, span),
        "huber": Subject(
            f"Huber, δ = {delta:g}",
            *huber,
            -span,
            span,
            dict.fromkeys(bends, "none: both halves agree"),
        ),
        "zero-one": Subject("zero-one", *wrong(two_classes), 0, 1, {0.5: "a tie goes to class 0: wrong"}),
        "cross-entropy": Subject(
            "cross-entropy",
            *along(bh.cross_entropy, two_classes, label_1),
            0,
            1,
            {0: "flat, and p = smallest normal number"},
        ),
        "logistic": Subject("logistic, y = 1", *along(bh.logistic, one_logit, label_1), -6, 6),
        "logistic-0": Subject("logistic, y = 0", *along(bh.logistic, one_logit, label_0), -6, 6),
        "zero-one-logit": Subject(
            "zero-one, y = 1", *wrong(one_logit), -6, 6, {0: "a tie goes to class 0: wrong"}
        ),
    }


def along(loss: bh.Loss, prediction: Number, target: Number) -> tuple[Number, Number]:
    """The loss of one example as a function of x, by our forward; its derivative by x, by our backward.

    x is the last entry of the prediction. In a batch of one example the gradient's 1/N is 1.
    """

    def value(x: Any) -> Any:
        return loss.forward(prediction(x), target(x))[0]

    def slope(x: Any) -> Any:
        return loss.backward(loss.forward(prediction(x), target(x))[1]).ravel()[-1]

    return value, slope


def examine(subject: Subject, precision: str) -> dict[str, np.ndarray]:
    """Value and slope; the slope by jax.grad; beside kinks; and by central differences, in float64, at some points."""
    even = rounded(np.linspace(subject.start, subject.stop, 241), precision)
    kinks = rounded(np.array(sorted(subject.kinks), np.float64), precision)
    checked = even[10::20]  # 12 places, none in the middle or at an end, where the kinks are
    x = np.union1d(even, kinks)
    sides = np.stack([kinks - BESIDE, kinks + BESIDE])

    def everything(x: Any) -> tuple[Any, Any, Any]:
        return subject.value(x), subject.slope(x), jax.grad(subject.value)(x)

    found = of_each(everything, np.concatenate([x, sides.ravel()]), precision)
    value, slope, by_jax = (array[: len(x)] for array in found)
    inside = (subject.start <= sides) & (sides <= subject.stop)
    below, above = np.where(inside, found[1][len(x) :].reshape(sides.shape), np.nan)
    up, down = of_each(subject.value, np.stack([checked + STEP, checked - STEP]), "float64")
    return {
        "x": x,
        "value": value,
        "slope": slope,
        "by_jax": by_jax,
        "kinks": kinks,
        "below": below,
        "above": above,
        "checked": checked,
        "central": (up - down) / (2 * STEP),
    }


def rounded(x: np.ndarray, precision: str) -> np.ndarray:
    """What is left of x in this precision, in float64."""
    return x.astype(jnp.dtype(precision)).astype(np.float64)


def of_each(f: Callable[[Any], Any], x: np.ndarray, precision: str) -> Any:
    """f of each number of x, computed in this precision; the result, or a tuple of results, in float64."""
    with jax.enable_x64(precision == "float64"):
        results = jax.jit(jax.vmap(f))(jnp.asarray(x.ravel(), jnp.dtype(precision)))
    return jax.tree.map(lambda result: np.asarray(result).astype(np.float64).reshape(x.shape), results)


def logits(precision: str) -> dict[str, np.ndarray]:
    """The z to look at: all sizes, those around the edge, and those of the table."""
    sizes = np.logspace(-1, 4, 251)
    edge = -np.log(float(jnp.finfo(precision).smallest_subnormal))  # exp(−z) is 0 from about there
    grids = {
        "everywhere": np.concatenate([-sizes[::-1], [0], sizes]),
        "nearby": np.linspace(-1.1 * edge, 1.1 * edge, 10_001),
        "table": np.array(sorted([*LOGITS, *(-z for z in LOGITS)])),
    }
    return {name: rounded(z, precision) for name, z in grids.items()}


def edge(z: np.ndarray, precision: str) -> dict[str, np.ndarray]:
    """Loss and ∂L/∂z of the logits (z, 0) with label 0, by three ways to compute it, and exactly."""
    label = np.zeros(1, np.int32)
    key = jax.random.key(0)  # forward takes one, though softmax draws nothing

    def row(z: Any) -> Any:
        return jnp.stack([z, jnp.zeros_like(z)])[None]

    def textbook(z: Any) -> Any:
        p = jnp.exp(row(z)) / jnp.exp(row(z)).sum()
        return -jnp.log(p[0, 0])

    def separate(z: Any) -> Any:
        p, residuals = bh.softmax.forward((), row(z), key)
        value, loss_residuals = bh.cross_entropy.forward(p, label)
        _, dz = bh.softmax.backward((), residuals, bh.cross_entropy.backward(loss_residuals))
        return value, dz[0, 0]

    def fused(z: Any) -> Any:
        value, residuals = bh.softmax_cross_entropy.forward(row(z), label)
        return value, bh.softmax_cross_entropy.backward(residuals)[0, 0]

    ways = {"textbook": jax.value_and_grad(textbook), "separate": separate, "fused": fused}
    found = {"z": z, "exact.value": np.logaddexp(0, -z), "exact.slope": -np.exp(-np.logaddexp(0, z))}
    for name, way in ways.items():
        found[f"{name}.value"], found[f"{name}.slope"] = of_each(way, z, precision)
    return found


def differences(config: Config, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How far each slope is from central differences and from jax.grad, and what holds at its kinks."""
    results = {}
    for stem, subject in subjects(config).items():
        a = part(arrays, stem)
        at_kinks, at_checked = (np.searchsorted(a["x"], a[key]) for key in ("kinks", "checked"))
        kinks = {
            "x": a["kinks"],
            "value": a["value"][at_kinks],
            "below": a["below"],
            "slope": a["slope"][at_kinks],
            "above": a["above"],
            "by_jax": a["by_jax"][at_kinks],
            "convention": [subject.kinks[kink] for kink in sorted(subject.kinks)],
        }
        results[stem] = {
            "name": subject.name,
            "central": largest(a["slope"][at_checked] - a["central"]),
            "by_jax": largest((a["slope"] - a["by_jax"])[~np.isin(a["x"], a["kinks"])]),
            "kinks": kinks,
        }
    return results


def where_they_part(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """At which logits each way to compute cross-entropy leaves the exact one, and how far the fused one does."""
    a, everywhere = part(arrays, "nearby"), part(arrays, "everywhere")
    z, exact = a["z"], everywhere["exact.value"]
    dead = (z < 0) & (a["separate.slope"] == 0)
    misled = (z > 0) & (a["textbook.slope"] < -0.5)  # where p is 1
    return {
        "dead_below": float(z[dead].max()),
        "flat_value": float(a["separate.value"][dead].max()),
        "textbook_infinite_below": float(z[(z < 0) & (a["textbook.value"] == np.inf)].max()),
        "textbook_misled_above": float(z[misled].min()),
        "textbook_nan_above": float(z[(z > 0) & np.isnan(a["textbook.value"])].min()),
        "fused_value": largest((everywhere["fused.value"] - exact) / (1 + exact)),
        "fused_slope": largest(everywhere["fused.slope"] - everywhere["exact.slope"]),
    }


def largest(differences: np.ndarray) -> float:
    """The largest absolute value."""
    return float(np.abs(differences).max())


def part(arrays: Mapping[str, np.ndarray], stem: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by the rest of the name."""
    return {name.removeprefix(f"{stem}."): a for name, a in arrays.items() if name.startswith(f"{stem}.")}


def checks_table(losses: Mapping[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """How far each slope is from what else can be asked for it."""
    rows: Rows = [
        (r["name"], "jax.grad", f"{r['central']:.1e}", "–")
        if is_metric(stem)
        else (r["name"], "our backward", f"{r['central']:.1e}", f"{r['by_jax']:.1e}")
        for stem, r in losses.items()
    ]
    return ("loss", "slope by", "off central differences", "off jax.grad"), rows


def kinks_table(losses: Mapping[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """What holds where a slope jumps, or is not defined, and just beside."""
    numbers = ("x", "value", "below", "slope", "above", "by_jax")
    rows: Rows = [
        (r["name"], *("–" if np.isnan(k) else in_words(k) for k in kink[:-1]), kink[-1])
        for r in losses.values()
        for kink in zip(*(r["kinks"][key] for key in (*numbers, "convention")), strict=True)
    ]
    return ("loss", "at x", "L", "slope below", "there", "above", "jax.grad", "convention"), rows


def edge_table(arrays: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], Rows]:
    """Loss and gradient at the logits of the table."""
    a = part(arrays, "table")
    ways = ("textbook", "separate", "fused", "exact")
    columns = [a["z"], *(a[f"{way}.{field}"] for way in ways for field in ("value", "slope"))]
    rows = [tuple(map(in_words, row)) for row in zip(*columns, strict=True)]
    return ("z", *(name for way in ways for name in (way, "∂L/∂z"))), rows


def in_words(value: float) -> str:
    """A number in a few characters; −0 is 0."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    digits = f"{value + 0.0:.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"
    return digits.replace("-", "−")


def write_report(config: Config, run: runs.Run) -> Path:
    """Draw the figures and write the report, from the run's files."""
    arrays, results = run.arrays("losses.safetensors"), run.read_json("results.json")
    losses = results["losses"]
    over_error, over_probability, over_logit = pictures(config, run, arrays)
    pieces = [
        report.paragraph(conclusion(config, results), lead=True),
        report.heading("Over the error"),
        report.figures(*over_error),
        report.paragraph(pull_in_words(config, arrays)),
        report.heading("Over the probability of the true class"),
        report.figures(*over_probability),
        report.paragraph(zero_one_in_words(arrays)),
        report.heading("Over the logit"),
        report.figures(*over_logit),
        report.heading("The derivatives, checked"),
        report.table(*checks_table(losses)),
        report.paragraph(
            f"The largest differences, away from kinks. Values and slopes are computed in {config.precision}, one "
            "example at a time, so that the 1/N in a batch's gradient is 1. Central differences, "
            f"(L(x + h) − L(x − h))/2h with h = {STEP:g}, are of our forward in float64; jax.grad is of our forward in "
            f"{config.precision}. The zero-one loss is a metric, and has no backward. At a kink, the slope "
            f"{BESIDE:g} below, there and {BESIDE:g} above, and jax.grad's there:"
        ),
        report.table(*kinks_table(losses)),
        report.heading("Where the numbers break"),
        *map(report.paragraph, edge_in_words(config, results["edge"])),
        report.figures(*pictures_of_the_edge(run, arrays)),
        report.table(*edge_table(arrays)),
        report.paragraph(
            "Loss and gradient of the logits (z, 0) where the first is the label's. textbook: exp(z)/Σ exp(z), then "
            "−log p, by jax.grad. separate: softmax, then cross_entropy of its probabilities, by hand. fused: "
            "softmax_cross_entropy of the logits, by hand. exact: log(1 + exp(−z)) in float64, without overflow."
        ),
        *run.again(),
    ]
    return run.write("report.html", report.page("The loss functions", *pieces))


def pictures(
    config: Config, run: runs.Run, arrays: Mapping[str, np.ndarray]
) -> tuple[list[str], list[str], list[str]]:
    """The losses over the error, over the probability of the true class, and over the logit."""
    named = subjects(config)
    a = {stem: part(arrays, stem) for stem in named}
    a["logistic-p"] = a["logistic"] | {key: sigmoid(a["logistic"][key]) for key in ("x", "checked")}

    def picture(
        stem: str, of: str, labels: tuple[str, str, str], values: Limits = None, slopes: Limits = None
    ) -> str:
        found = a[stem]
        kinks = np.isin(found["x"], found["kinks"])
        unknown = np.full(len(found["checked"]), np.nan)
        drawing = plots.value_and_slope(
            {"slope by jax.grad" if is_metric(of) else "slope by our backward": function(found)},
            named[of].name,
            *labels,
            rings={"slopes of the forward": Function(found["checked"], unknown, found["central"])},
            dots={"at the kink": Function(*(y[kinks] for y in function(found)))} if kinks.any() else {},
            value_limits=values,
            slope_limits=slopes,
        )
        return run.figure(stem, *drawing)

    errors, e = ("absolute", "squared", "huber"), "error ŷ − y, units of y"
    high, steep = (
        1.06 * max(np.abs(a[stem][field]).max() for stem in errors) for field in ("value", "slope")
    )
    units = [("L, units of y", "∂L/∂ŷ")] + 2 * [("L, units of y squared", "∂L/∂ŷ, units of y")]
    over_error = [
        picture(stem, stem, (e, *unit), (-0.04 * high, high), (-steep, steep))
        for stem, unit in zip(errors, units, strict=True)
    ]
    p, high, steep = "probability p of the true class", 5.2, 22.0  # −log p and −1/p have no end
    over_probability = [
        picture("zero-one", "zero-one", (p, "L, share wrong", "∂L/∂p"), (-0.2, high), (-steep, 2)),
        picture("logistic-p", "logistic", (p, "L, nats", "∂L/∂z, nats"), (-0.2, high)),
        picture("cross-entropy", "cross-entropy", (p, "L, nats", "∂L/∂p, nats"), (-0.2, high), (-steep, 2)),
    ]
    logistic, other, zero_one = (function(a[stem]) for stem in ("logistic", "logistic-0", "zero-one-logit"))
    pairs = {
        "logistic loss, p = σ(z)": {"y = 1": logistic, "y = 0": other},
        "trained on, and counted; y = 1": {"logistic, nats": logistic, "zero-one, share wrong": zero_one},
    }
    over_logit = []
    for i, (title, lines) in enumerate(pairs.items()):
        drawing = plots.value_and_slope(lines, title, "logit z", "L, nats" if i == 0 else "L", "∂L/∂z")
        over_logit.append(run.figure(f"logit-{i}", *drawing))
    return over_error, over_probability, over_logit


def function(found: Mapping[str, np.ndarray]) -> Function:
    """The line to draw of what `examine` found."""
    return Function(found["x"], found["value"], found["slope"])


def pictures_of_the_edge(run: runs.Run, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The three ways to compute cross-entropy, and the exact one: over all sizes of logits, and where they part."""
    ways = {"textbook": "textbook, by jax.grad", "separate": "softmax, then cross_entropy", "fused": "fused"}
    everywhere, nearby = part(arrays, "everywhere"), part(arrays, "nearby")
    nearby = {key: values[nearby["z"] < nearby["z"].min() / 2] for key, values in nearby.items()}
    figures = []
    for title, a in {"Logits of all sizes": everywhere, "Where they part": nearby}.items():
        drawing = plots.value_and_slope(
            {label: Function(a["z"], a[f"{way}.value"], a[f"{way}.slope"]) for way, label in ways.items()},
            title,
            "z of the logits (z, 0), label 0",
            "L, nats",
            "∂L/∂z, nats",
            rings={"exact": Function(*(some(a[key]) for key in ("z", "exact.value", "exact.slope")))},
            scale="symlog" if a is everywhere else "linear",
        )
        figures.append(run.figure(title.lower().replace(" ", "-"), *drawing))
    return figures


def some(values: np.ndarray, count: int = 25) -> np.ndarray:
    """About so many of the values, evenly spread."""
    return values[len(values) // (2 * count) :: len(values) // count]


def conclusion(config: Config, results: Mapping[str, Any]) -> str:
    """What came out, in a few sentences."""
    ours = [r for stem, r in results["losses"].items() if not is_metric(stem)]
    edge = results["edge"]
    return (
        "The derivatives that our backward gives are within "
        f"{max(r['central'] for r in ours):.1g} of the slopes of our forward's own values, and within "
        f"{max(r['by_jax'] for r in ours):.1g} of jax.grad. In {config.precision}, softmax followed by cross-entropy "
        f"stops learning where the label's logit is {in_words(-edge['dead_below'])} or more below the other: its "
        f"gradient there is 0. The fused loss goes on: its gradient is within {edge['fused_slope']:.1g} of the exact "
        f"one for all logits up to ±{LOGITS[-1]:,.0f}."
    )


def pull_in_words(config: Config, arrays: Mapping[str, np.ndarray]) -> str:
    """How hard a large error and a small one pull."""
    e = (config.span, config.span / 10)
    slopes = {
        stem: np.interp(e, arrays[f"{stem}.x"], arrays[f"{stem}.slope"])
        for stem in ("absolute", "squared", "huber")
    }
    far, near = (", ".join(in_words(slope[i]) for slope in slopes.values()) for i in (0, 1))
    return (
        f"The derivative is the pull of an error on the fit. Absolute, squared and Huber's pull with {far} at an "
        f"error of {in_words(e[0])}, and with {near} at one of {in_words(e[1])}."
    )


def zero_one_in_words(arrays: Mapping[str, np.ndarray]) -> str:
    """Why nothing can be trained on the zero-one loss, in its numbers."""
    slope, central = arrays["zero-one.slope"], arrays["zero-one.central"]
    return (
        f"The zero-one loss is what one would like to be small, and nothing can be trained on it: its slope is 0 at "
        f"{np.sum(slope == 0)} of {len(slope)} places by jax.grad, and at {np.sum(central == 0)} of {len(central)} by "
        "differences. It falls in one jump, and beside the jump no direction is better than another. The logistic "
        "loss and cross-entropy have the same value, −log p, and a slope wherever the probability can rise. By the "
        "probability it is −1/p, without end where p is near 0; by the logit z, of which p = σ(z), it is p − 1, "
        "between −1 and 0."
    )


def edge_in_words(config: Config, edge: Mapping[str, float]) -> tuple[str, str]:
    """Where each way to compute cross-entropy breaks, and how."""
    at = {key: in_words(value) for key, value in edge.items()}
    return (
        "Two logits, (z, 0), and the label is the first: L = log(1 + exp(−z)), ∂L/∂z = p − 1. In "
        f"{config.precision} the textbook's exp(z)/Σ exp(z) gives a loss of ∞ from z = "
        f"{at['textbook_infinite_below']} down, where p is 0, and NaN from {at['textbook_nan_above']} up, where exp(z) "
        f"overflows. Its gradient by jax.grad fails silently before that: from {at['textbook_misled_above']} up it is "
        "nearer to −1 than to the 0 it should be, since the square of Σ exp(z), by which it divides, overflows first.",
        "Softmax takes the largest logit away from all, which lets nothing overflow; but p still underflows. From "
        f"z = {at['dead_below']} down, cross_entropy, which never takes the log of less than the smallest normal "
        f"number, stays at {at['flat_value']} nats, with gradient 0: the worst mistakes teach nothing. The fused "
        f"softmax_cross_entropy never takes the log of p at all. Its loss is off by {edge['fused_value']:.1g} at most, "
        f"relative to 1 + L, and its gradient by {edge['fused_slope']:.1g}.",
    )


def is_metric(stem: str) -> bool:
    """Whether it is the zero-one loss, which has no backward."""
    return stem.startswith("zero-one")


def sigmoid(z: np.ndarray) -> Any:
    """The probability σ(z) of the true class."""
    return 1 / (1 + np.exp(-z))


if __name__ == "__main__":
    runs.main(Config, run, "The loss functions, their derivatives, and where the numbers break.")
