"""The MNIST lab: does the activation between layers matter, are 2 or 3 layers needed, what goes wrong with depth?

Perceptrons of every depth, with every activation between their layers and with none, are trained by hand-written
backprop from several seeds, and watched as they learn. A net trained on shuffled labels is the control: it should
do no better than chance. `make mnist` runs it; `make mnist SEEDS=3 DATASET=fashion_mnist` sets flags.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_float32, positive_integer, seed_in_range
from backhand.models.perceptron import (
    ACTIVATIONS,
    OPTIMIZERS,
    Activation,
    Optimizer,
    perceptron,
    perceptron_name,
)
from backhand.reporting import page as report
from backhand.reporting.statistics import Estimate, mean, mean_sd
from backhand.training.progress import Progress

NONE = "none"  # between layers: a linear layer follows on a linear layer
WATCHED = 2048  # training images that the gradient is watched on, to spare the time of all
SHUT = 0.01  # of the greatest slope there is: what is below counts as none


@dataclass(frozen=True)
class Config:
    """What the lab trains, and how."""

    dataset: str = "mnist"
    """Which pictures: mnist, fashion_mnist or kmnist, 70,000 of 28×28 through TensorFlow Datasets; digits,
    scikit-learn's 1,797 of 8×8; or another set of TensorFlow Datasets' that lies prepared as ArrayRecord."""
    data_dir: Path | None = None
    """Where TensorFlow Datasets' downloads/ are, or go; without it TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    hidden: tuple[int, ...] = (128, 64)
    """Hidden widths. Nets of every depth up to all of them are trained: 128 64 makes 1, 2 and 3 layers."""
    activations: tuple[Activation, ...] = ("sigmoid", "tanh", "relu", "gelu")
    """What stands between linear layers, each in turn; nothing is tried beside them. The last is the control's."""
    seeds: int = 5
    """How many times each net is trained, from seed, seed + 1, …: what ± is taken over."""
    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 128
    """Examples a step."""
    learning_rate: float = 1e-3
    """Step size; try 0.1 with sgd."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    seed: int = 0
    """Seeds the split of the data, the first weights, the order of examples, and the control's labels."""
    resume: Path | None = None
    """The folder of a run that was cut short, to go on in it where it was."""
    out: Path = Path("runs/mnist")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for field in ("hidden", "activations"):
            if not getattr(self, field):
                raise ValueError(f"config: {field} should be one at least, got none")
        if len(set(self.activations)) < len(self.activations):
            raise ValueError(f"config: activations should be different ones, got {self.activations}")
        for width in self.hidden:
            positive_integer("config", "hidden", width)
        positive_integer("config", "seeds", self.seeds, least=2)
        positive_integer("config", "epochs", self.epochs)
        positive_integer("config", "batch_size", self.batch_size)
        positive_float32("config", "learning_rate", self.learning_rate)
        seed_in_range("config", self.seed, self.seeds)


class Plan(NamedTuple):
    """A net to train."""

    layers: int
    between: str  # an activation's name, or NONE
    shuffled: bool = False  # trained on labels that say nothing

    def __str__(self) -> str:
        notes = [self.between] if self.layers > 1 else []
        notes += ["shuffled labels"] if self.shuffled else []
        return layers(self.layers) + (f" ({', '.join(notes)})" if notes else "")


class Net(NamedTuple):
    """What came of training it, from every seed."""

    plan: Plan
    widths: str  # "784-128-10"
    parameters: int
    history: Mapping[str, np.ndarray]  # (seeds, epochs + 1), with an axis for layers where they differ
    test: Mapping[str, np.ndarray]  # (seeds,)


def run(config: Config, run: runs.Run) -> None:
    """Train every net, then score them on the test set and report; interrupted, so with the nets that are done."""
    pictures = runs.refusing(data.pictures, config.dataset, config.data_dir, config.seed)
    count = len(pictures["train"].x)
    if config.batch_size > count:
        raise runs.RefusedError(
            f"batch_size should be at most {count}, all training images, got {config.batch_size}"
        )
    run.data(pictures.sha256)
    splits = {name: jax.device_put(tuple(split)) for name, split in pictures.splits.items()}
    plans = planned(config)
    progress = Progress(config.epochs, parts=len(plans) * config.seeds)
    trained: dict[Plan, tuple[bh.Layer, list[Any]]] = {}
    try:
        for i, plan in enumerate(plans):
            net = network(config, plan, len(pictures.class_names))
            trained[plan] = net, train(config, run, splits, plan, net, progress, i * config.seeds)
            run.save_params({str(plan): stacked(params) for plan, (_, params) in trained.items()})
    finally:
        progress.clear()
        if trained:
            results = [result(config, splits, plan, *done) for plan, done in trained.items()]
            run.write_json("results.json", results)
            nets = read(run)
            header, *rows = table_of(nets)
            runs.print_table(
                header, rows, f"after {config.epochs} epochs, mean ± sd over {config.seeds} seeds"
            )
            path = write_report(config, run, pictures, nets, len(plans))
            print(f"parameters  sha256 {run.receipt['params_sha256']}\nreport      {path}")


def planned(config: Config) -> list[Plan]:
    """Each depth with each thing between its layers, of which one layer has none; then the control."""
    deepest = len(config.hidden) + 1
    deeper = [
        Plan(depth, between) for depth in range(2, deepest + 1) for between in (NONE, *config.activations)
    ]
    return [Plan(1, NONE), *deeper, Plan(deepest, config.activations[-1], shuffled=True)]


def network(config: Config, plan: Plan, classes: int) -> bh.Layer:
    """The perceptron, or linear layers with nothing between."""
    hidden = config.hidden[: plan.layers - 1]
    if plan.between == NONE:
        return bh.serial(*map(bh.linear, (*hidden, classes)))
    return perceptron(hidden, classes, plan.between)  # type: ignore[arg-type]


def train(
    config: Config,
    run: runs.Run,
    splits: Mapping[str, tuple[Any, Any]],
    plan: Plan,
    net: bh.Layer,
    progress: Progress,
    part: int,
) -> list[Any]:
    """Train a net from every seed, logging every epoch and what was before the first; return the parameters."""
    loss, optimizer = bh.softmax_cross_entropy, OPTIMIZERS[config.optimizer](config.learning_rate)
    step, look = bh.make_step(bh.manual(net, loss), optimizer), watch(net, loss)
    images, labels = splits["train"]
    ends = []
    for seed in range(config.seed, config.seed + config.seeds):
        y = jnp.asarray(shuffled(np.asarray(labels), seed)) if plan.shuffled else labels

        def log(params: Any, scores: Mapping[str, float], seed: int = seed, y: Any = y) -> None:
            seen = look(params, images[:WATCHED], y[:WATCHED], splits["validation"][0])
            gap = {"gap": scores["val_loss"] - scores["loss"]}
            run.log(**plan._asdict(), seed=seed, **scores, **gap, **jax.tree.map(float, seen))

        progress.begin(part + seed - config.seed, f"{plan}, seed {seed}")
        start = bh.init_state(jax.random.key(seed), net, optimizer, images[: config.batch_size])
        before: dict[str, float] = {"epoch": 0}
        for prefix, split in {"": (images, y), "val_": splits["validation"]}.items():
            scores = bh.evaluate(net, loss, start.params, *split, [bh.accuracy])
            before |= {prefix + name: value for name, value in scores.items()}
        log(start.params, before)
        state, _ = bh.fit(
            start,
            step,
            (images, y),
            net=net,
            loss=loss,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=splits["validation"],
            metrics=[bh.accuracy],
            progress=progress,
            on_epoch=lambda state, scores: log(state.params, scores),
            checkpoints=run.checkpoints(f"{plan}, seed {seed}"),
        )
        ends.append(state.params)
    return ends


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Labels that say nothing: the images of each class get every label, one as often as another, in random order.

    Putting the labels there are in random order would not do as well. The commonest would still be the best guess,
    and of MNIST's test digits 11.35 % are a 1. Dealt like this all labels are alike, and a net can expect to be
    right one time in as many as there are classes.
    """
    rng, classes, dealt = np.random.default_rng(seed), np.unique(labels), np.empty_like(labels)
    for label in classes:
        rows = np.flatnonzero(labels == label)
        dealt[rows] = rng.permutation(np.resize(classes, len(rows)))
    return dealt


def watch(net: bh.Layer, loss: bh.Loss) -> Callable[[Any, Any, Any, Any], dict[str, list[Any]]]:
    """A function that looks into a serial net: at params, by training examples (x, y) and other images.

    It gives a number a linear layer: "max_w", the largest |w|, and "gradient_norm", the length of the gradient of
    the mean loss on (x, y) by its w and b. And a number an activation, of its slopes φ′ on the images, where one
    below 1 % of the greatest |φ′| there is counts as shut: "shut", the share of (unit, image) pairs whose slope
    is, and "dead", the share of units whose slope is on every image.
    """
    gradient = bh.manual(net, loss)

    @jax.jit
    def look(params: Any, x: Any, y: Any, images: Any) -> dict[str, list[Any]]:
        _, dparams = gradient(params, x, y, jax.random.key(0))
        seen: dict[str, list[Any]] = {"max_w": [], "gradient_norm": [], "shut": [], "dead": []}
        z = images
        for layer, p, dp in zip(net.parts, params, dparams, strict=True):
            if isinstance(p, bh.Linear):
                seen["max_w"].append(jnp.abs(p.w).max())
                seen["gradient_norm"].append(jnp.sqrt((dp.w**2).sum() + (dp.b**2).sum()))
            else:
                shut = jnp.abs(slope(layer, z)) < SHUT * steepest(layer)
                seen["shut"].append(shut.mean(dtype=jnp.float32))
                seen["dead"].append(shut.all(0).mean(dtype=jnp.float32))
            z = layer.apply(p, z)
        return seen

    return look


def slope(activation: bh.Layer, z: Any) -> Any:
    """φ′(z) by the activation's own backward pass, which multiplies dy by it."""
    _, residuals = activation.forward((), z, jax.random.key(0))
    return activation.backward((), residuals, jnp.ones_like(z))[1]


def steepest(activation: bh.Layer) -> Any:
    """The greatest |φ′| there is: ¼ for sigmoid, 1 for tanh and relu."""
    return jnp.abs(slope(activation, jnp.linspace(-8, 8, 1601, dtype=jnp.float32))).max()


def stacked(trees: Sequence[Any]) -> Any:
    """One tree of arrays with an axis in front, of several trees: here one a seed."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def result(
    config: Config, splits: Mapping[str, tuple[Any, Any]], plan: Plan, net: bh.Layer, params: Sequence[Any]
) -> dict[str, Any]:
    """What a trained net is, and how it does on the test set, by seed."""
    scores = [bh.evaluate(net, bh.softmax_cross_entropy, p, *splits["test"], [bh.accuracy]) for p in params]
    inputs, outputs = params[0][0].w.shape[0], params[0][-1].w.shape[1]
    return {
        **plan._asdict(),
        "net": perceptron_name(inputs, config.hidden[: plan.layers - 1], outputs),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params[0])),
        "test": {name: [score[name] for score in scores] for name in scores[0]},
    }


def read(run: runs.Run) -> list[Net]:
    """The nets that are done, from the run's files."""
    metrics, nets = run.metrics(), []
    for r in run.read_json("results.json"):
        plan = Plan(r["layers"], r["between"], r["shuffled"])
        records = [m for m in metrics if Plan(m["layers"], m["between"], m["shuffled"]) == plan]
        test = {name: np.array(values, np.float64) for name, values in r["test"].items()}
        seeds = len(test["loss"])
        history = {}
        for key in [key for key in records[0] if key not in (*Plan._fields, "seed", "epoch")]:
            values = np.array([record[key] for record in records], np.float64)
            history[key] = values.reshape(seeds, len(records) // seeds, *values.shape[1:])
        nets.append(Net(plan, r["net"], r["parameters"], history, test))
    return nets


# What the report asks of a net: a number a seed.


def wrong(net: Net, split: str) -> np.ndarray:
    """The share of a split's images that it gets wrong in the end, in percent."""
    share = net.test["accuracy"] if split == "test" else net.history[SPLITS[split] + "accuracy"][:, -1]
    return np.asarray(100 * (1 - share))


SPLITS = {"training": "", "validation": "val_"}
ERRORS = {"test": "test err. %", "validation": "valid. err. %", "training": "train. err. %"}


def reach(net: Net, epoch: int) -> np.ndarray:
    """The length of the first layer's gradient as a share of the last layer's."""
    first, last = (net.history["gradient_norm"][:, epoch, i] for i in (0, -1))
    return np.asarray(first / np.where(last > 0, last, np.nan))


def epochs_to(net: Net, level: float) -> np.ndarray:
    """After how many epochs the validation loss is at a level or below; one more than there are if it never is."""
    there = net.history["val_loss"] <= level
    return np.asarray(np.where(there.any(1), there.argmax(1), there.shape[1]))


def worst(net: Net, share: str, epoch: int) -> np.ndarray:
    """Which share of a hidden layer is "dead", or "shut", where that is most; in percent."""
    return np.asarray(100 * net.history[share][:, epoch].max(1, initial=0))


def gap(net: Net) -> np.ndarray:
    """By how much the validation loss is above the training loss in the end."""
    return np.asarray(net.history["gap"][:, -1])


def change(a: Any, b: Any) -> Estimate:
    """By how much the mean of b is above that of a; seeds are independent, and not paired."""
    return mean(b).less(mean(a))


def write_report(
    config: Config, run: runs.Run, pictures: data.Dataset, nets: list[Net], planned: int
) -> Path:
    """Draw the figures and write the report, from the run's files and the data set."""
    header, *rows = table_of(nets)
    depth = len(config.hidden) + 1
    pieces = [report.table(header, rows), report.paragraph(method_in_words(config, pictures))]
    if len(nets) < planned:
        pieces.insert(0, report.paragraph(f"Stopped when {len(nets)} of {planned} nets were trained."))
    if labelled_truly(nets):
        pieces.insert(0, report.paragraph(conclusion(nets, len(pictures["test"].y)), lead=True))
        pieces += answers(run, nets, pictures, depth)
    return run.write(
        "report.html", report.page(f"From 1 layer to {depth} on {config.dataset}", *pieces, *run.again())
    )


def answers(run: runs.Run, nets: list[Net], pictures: data.Dataset, depth: int) -> list[str]:
    """The report's sections, a question each, with the figures that show the answer; at most `depth` layers."""
    classes = len(pictures.class_names)
    return [
        report.heading("Does the activation between layers matter?"),
        *map(report.paragraph, activation_in_words(nets)),
        *(report.figures(*drawn) for drawn in activation_figures(run, nets)),
        report.heading(f"Are {listed(map(str, range(2, depth + 1)), 'or')} layers needed?"),
        report.paragraph(depth_in_words(nets)),
        report.table(*depth_table(nets)),
        report.figures(*depth_figures(run, nets)),
        report.heading("What goes wrong in training as depth grows?"),
        *trouble(run, nets),
        report.heading("How do the weights behave?"),
        report.paragraph(weights_in_words(nets)),
        report.paragraph(pictures_in_words(pictures)),
        report.figures(*weight_figures(run, nets, pictures)),
        report.heading("Is it the labels that they learn?"),
        report.paragraph(control_in_words(nets, classes)),
        report.figures(*control_figures(run, nets, classes)),
    ]


def layers(count: int) -> str:
    """So many layers, in words."""
    return "1 layer" if count == 1 else f"{count} layers"


def named(between: str) -> str:
    """What stands between layers, where a sentence says that something is so "with" it."""
    return "nothing between" if between == NONE else between


def listed(words: Iterable[str], link: str = "and") -> str:
    """One, two and three of them."""
    *most, last = words
    return f"{', '.join(most)} {link} {last}" if most else last


def percent(values: Any) -> str:
    """Mean ± standard deviation over seeds."""
    return f"{mean_sd(values, '.2f')} %"


def points(difference: Estimate) -> str:
    """A difference of percentages ± its standard error."""
    return f"{difference.value:+.2f} ± {difference.error:.2f}".replace("-", "−")


def find(nets: Sequence[Net], count: int, between: str = NONE, shuffled: bool = False) -> Net | None:
    """The net of that plan, if it is there."""
    return next((net for net in nets if net.plan == Plan(count, between, shuffled)), None)


def labelled_truly(nets: Sequence[Net]) -> list[Net]:
    """All but the control."""
    return [net for net in nets if not net.plan.shuffled]


def taught(nets: Sequence[Net], count: int | None = None) -> list[Net]:
    """Those trained on the true labels with an activation between layers, of so many layers if that is said."""
    active = [net for net in labelled_truly(nets) if net.plan.between != NONE]
    return [net for net in active if count in (None, net.plan.layers)]


def chosen(nets: Sequence[Net]) -> Net:
    """The net with the lowest validation error."""
    return min(nets, key=lambda net: float(wrong(net, "validation").mean()))


def depths(nets: Sequence[Net]) -> list[int]:
    """What depths beyond one layer there are, with activations."""
    return sorted({net.plan.layers for net in taught(nets)})


def best_by_depth(nets: Sequence[Net]) -> list[Net]:
    """One layer, and of each greater depth the net whose activation does best in validation."""
    one = find(nets, 1)
    return ([one] if one else []) + [chosen(taught(nets, depth)) for depth in depths(nets)]


def conclusion(nets: Sequence[Net], count: int) -> str:
    """What came out, in a few sentences."""
    best, one = chosen(labelled_truly(nets)), find(nets, 1)
    text = (
        f"Best in validation, {best.plan} gets {percent(wrong(best, 'test'))} of {count:,} test images wrong"
    )
    text += f"; 1 layer gets {percent(wrong(one, 'test'))}. " if one and one is not best else ". "
    said = [matters_in_short(nets), enough_in_short(nets), worse_in_short(nets)]
    return text + " ".join(sentence for sentence in said if sentence)


def method_in_words(config: Config, pictures: data.Dataset) -> str:
    """How much of each split there was, and what ± is."""
    train, validation, test = (len(split.y) for split in pictures.splits.values())
    # How often Student's t, of as many degrees of freedom as such a difference has, is beyond ±2.
    freedom = 2 * (config.seeds - 1)
    chance = float(jax.scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + 4)))
    return (
        f"{train:,} images to train on, {validation:,} to choose by, and {test:,} that were scored once, after all "
        f"training. Each net was trained {config.seeds} times, from other first weights and in another order: ± is the "
        "standard deviation over these, and after a difference its standard error. A difference is called clear where "
        f"it is more than twice that, as by chance alone about {100 * chance:.0f} % are. All errors are on the same "
        f"test images: others would move one of 2 % by about ±{100 * np.sqrt(0.02 * 0.98 / test):.2f} points. "
        "The gap is the validation loss less the training loss, in nats."
    )


def table_of(nets: Sequence[Net]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results."""
    table: list[tuple[str, ...]] = [("net", *ERRORS.values(), "gap")]
    for net in nets:
        errors = [mean_sd(wrong(net, split), ".2f") for split in ERRORS]
        table.append((str(net.plan), *errors, mean_sd(gap(net), ".3f")))
    return table


def matters_in_short(nets: Sequence[Net]) -> str:
    """Whether an activation makes a clear difference, at which depths."""
    clear, pairs = [], 0
    for depth in depths(nets):
        if plain := find(nets, depth):
            pairs += 1
            with_one = chosen(taught(nets, depth))
            difference = change(wrong(plain, "test"), wrong(with_one, "test"))
            clear += [depth] if difference.clear and difference.value < 0 else []
    if not pairs:
        return ""
    if not clear:
        return "The activation between layers makes no clear difference for the better."
    where = "" if len(clear) == pairs else f" with {listed(map(layers, clear))}"
    return f"The activation between layers matters{where}."


def activation_in_words(nets: Sequence[Net]) -> list[str]:
    """What nets with nothing between their layers do, and those with each activation."""
    if not taught(nets):
        return ["No net with an activation was trained to the end: nothing to compare."]
    first = (
        f"{matters_in_short(nets)} Linear maps one after the other are one linear map: with nothing between them, "
        "layers can't do more than 1 layer can, though training may get there by another way."
    )
    said, one = [first.strip()], find(nets, 1)
    for depth in depths(nets):
        plain, group = find(nets, depth), taught(nets, depth)
        text = ""
        if plain and one:
            difference = change(wrong(one, "test"), wrong(plain, "test"))
            verdict = trend(difference, "clearly less than", "clearly more than", "not clearly other than")
            text = (
                f"With nothing between them {layers(depth)} get {percent(wrong(plain, 'test'))} of the test images "
                f"wrong, {verdict} the {percent(wrong(one, 'test'))} of 1 layer ({points(difference)} points). "
            )
        ordered = sorted(group, key=lambda net: float(wrong(net, "test").mean()))
        best, last = ordered[0], ordered[-1]
        if best is last:
            text += f"With {best.plan.between} it is {percent(wrong(best, 'test'))}"
        else:
            difference = change(wrong(best, "test"), wrong(last, "test"))
            text += (
                f"With an activation {layers(depth)} get from {percent(wrong(best, 'test'))} ({best.plan.between}) "
                f"to {percent(wrong(last, 'test'))} ({last.plan.between}), "
                f"{'a clear' if difference.clear else 'no clear'} difference ({points(difference)})"
            )
        if plain:
            better = [
                net.plan.between
                for net in group
                if (d := change(wrong(plain, "test"), wrong(net, "test"))).clear and d.value < 0
            ]
            text += f". Clearly better than nothing: {listed(better) if better else 'none of them'}"
        said.append(text + ".")
    return said


def trend(difference: Estimate, down: str, up: str, level: str) -> str:
    """The words for a difference: below 0, above, or not clear of it."""
    return (down if difference.value < 0 else up) if difference.clear else level


def enough(nets: Sequence[Net]) -> int:
    """Of the best net of each depth: the fewest layers that no greater number of them is clearly better than."""
    best = best_by_depth(nets)
    for i, net in enumerate(best):
        further = [change(wrong(net, "test"), wrong(deeper, "test")) for deeper in best[i + 1 :]]
        if not any(difference.clear and difference.value < 0 for difference in further):
            return net.plan.layers
    raise AssertionError("nothing comes after the deepest")


def enough_in_short(nets: Sequence[Net]) -> str:
    """How many layers are enough."""
    best = best_by_depth(nets)
    if len(best) < 2:
        return ""
    count = enough(nets)
    if count == best[-1].plan.layers:
        return f"All {layers(count)} are of use: with fewer, the test error is clearly higher."
    are = "is" if count == 1 else "are"
    return (
        f"{layers(count)} {are} enough: more, with the best activation, do not clearly lower the test error."
    )


def depth_in_words(nets: Sequence[Net]) -> str:
    """What each layer more changes, for the best net of each depth and for each activation."""
    best = best_by_depth(nets)
    if len(best) < 2:
        return "Nets of one depth only were trained to the end: nothing to compare."
    said = [
        enough_in_short(nets),
        "Of each depth, the table has the activation that does best in validation.",
    ]
    for few, many in pairwise(best):
        a, b = few.plan.layers, many.plan.layers
        difference = change(wrong(few, "test"), wrong(many, "test"))
        verb = trend(difference, "falls", "rises", "does not clearly change")
        said.append(
            f"From {layers(a)} to {b} the test error {verb}, from {percent(wrong(few, 'test'))} to "
            f"{percent(wrong(many, 'test'))} ({points(difference)} points)."
        )
    for a, b in pairwise(depths(nets)):
        if changes := changes_in_words(nets, a, b, partial(wrong, split="test"), ("falls", "rises")):
            said.append(f"Activation by activation, from {layers(a)} to {b}: {changes}.")
    return " ".join(said)


def changes_in_words(
    nets: Sequence[Net], few: int, many: int, measure: Callable[[Net], np.ndarray], verbs: tuple[str, str]
) -> str:
    """With which activations a measure clearly falls or rises from one depth to another, and with which not."""
    found: dict[str, list[str]] = {}
    for net in taught(nets, many):
        if before := find(nets, few, net.plan.between):
            verb = trend(change(measure(before), measure(net)), *verbs, "does not clearly change")
            found.setdefault(verb, []).append(net.plan.between)
    return "; ".join(f"it {verb} with {listed(names)}" for verb, names in found.items())


def from_few_to_many(
    nets: Sequence[Net], measure: Callable[[Net], np.ndarray], verbs: tuple[str, str]
) -> str:
    """A sentence on how a measure changes from the fewest layers to the most; nothing, where there is one depth."""
    few, many = min(depths(nets)), max(depths(nets))
    changes = changes_in_words(nets, few, many, measure, verbs) if few < many else ""
    return f" From {layers(few)} to {many} {changes}." if changes else ""


def depth_table(nets: Sequence[Net]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: the best net of each depth."""
    header = ("net", "widths", "parameters", *ERRORS.values())
    rows = []
    for net in best_by_depth(nets):
        errors = [mean_sd(wrong(net, split), ".2f") for split in ERRORS]
        rows.append((str(net.plan), net.widths, f"{net.parameters:,}", *errors))
    return header, rows


def worse(nets: Sequence[Net], measure: Callable[[Net], np.ndarray]) -> list[str]:
    """What stands between the layers of those nets of which a measure clearly rises from fewest layers to most."""
    few, *_, many = depths(nets)
    risen = []
    for net in (net for net in labelled_truly(nets) if net.plan.layers == many):
        before = find(nets, few, net.plan.between)
        if before and (difference := change(measure(before), measure(net))).clear and difference.value > 0:
            risen.append(named(net.plan.between))
    return risen


def common_level(nets: Sequence[Net]) -> float:
    """The lowest validation loss that all nets with an activation come to, from every seed."""
    return max(float(net.history["val_loss"].min(1).max()) for net in taught(nets))


def troubles(nets: Sequence[Net]) -> dict[str, list[str]]:
    """What clearly gets worse from the fewest layers to the most, and with what between them."""
    found = {
        "the first layer's gradient shrinks beside the last one's": worse(nets, lambda net: -reach(net, 0)),
        "more epochs are needed": worse(nets, lambda net: epochs_to(net, common_level(nets))),
        "more units are dead": worse(nets, lambda net: worst(net, "dead", -1)),
        "the gap widens": worse(nets, gap),
        "the test error rises": worse(nets, lambda net: wrong(net, "test")),
    }
    return {what: names for what, names in found.items() if names}


def worse_in_short(nets: Sequence[Net]) -> str:
    """What goes wrong as depth grows, in a sentence."""
    if len(depths(nets)) < 2:
        return ""
    few, *_, many = depths(nets)
    found = [f"{what} with {listed(names)}" for what, names in troubles(nets).items()]
    if not found:
        return f"From {layers(few)} to {many} nothing measured goes wrong."
    return f"What goes wrong from {layers(few)} to {many}: {'; '.join(found)}."


def trouble(run: runs.Run, nets: Sequence[Net]) -> list[str]:
    """The section on gradients, speed, units, gap and seeds as layers are added."""
    if not taught(nets):
        return [report.paragraph("No net with an activation was trained to the end: nothing to see.")]
    gradients, units, gaps = trouble_figures(run, nets)
    return [
        *map(report.paragraph, filter(None, [worse_in_short(nets), gradients_in_words(nets)])),
        report.figures(*gradients),
        *map(report.paragraph, [speed_in_words(nets), units_in_words(nets)]),
        report.figures(*units),
        report.paragraph(gap_in_words(nets)),
        report.figures(*gaps),
        *map(report.paragraph, filter(None, [spread_in_words(nets)])),
        report.details("What was measured of every net", report.table(*trouble_table(nets))),
    ]


def by_depth(nets: Sequence[Net], value: Callable[[Net], str]) -> str:
    """A value of each net, activation by activation from few layers to many: "relu 0.5 → 0.4; tanh …"."""
    names = dict.fromkeys(net.plan.between for net in nets)
    return "; ".join(
        f"{name} {' → '.join(value(net) for net in nets if net.plan.between == name)}" for name in names
    )


def gradients_in_words(nets: Sequence[Net]) -> str:
    """How much of the gradient reaches the first layer."""
    group = taught(nets)
    least = min(group, key=lambda net: float(reach(net, 0).mean()))
    between = ACTIVATIONS[least.plan.between][0]  # type: ignore[index]
    text = (
        "Gradients. Before training, the length of the first layer's gradient as a share of the last layer's, with "
        f"{listed(map(layers, depths(nets)))}: {by_depth(group, lambda net: mean_sd(reach(net, 0), '.2f'))}."
    )
    text += from_few_to_many(nets, partial(reach, epoch=0), ("shrinks", "grows"))
    return text + (
        f" Least comes through with {least.plan}, whose slopes, {float(steepest(between)):.2g} at most, multiply "
        f"the gradient layer by layer; after training it is {mean_sd(reach(least, -1), '.2f')} there."
    )


def speed_in_words(nets: Sequence[Net]) -> str:
    """How many epochs nets need for a loss that all come to."""
    group, loss = taught(nets), common_level(nets)
    text = (
        f"Speed. All of these come to a validation loss of {loss:.3f}, from every seed. Epochs to get there, with "
        f"{listed(map(layers, depths(nets)))}: {by_depth(group, lambda net: mean_sd(epochs_to(net, loss), '.1f'))}."
    )
    return text + from_few_to_many(nets, partial(epochs_to, level=loss), ("falls", "rises"))


def units_in_words(nets: Sequence[Net]) -> str:
    """How many units are dead, and how saturated the S-shaped ones."""
    group = taught(nets)
    text = (
        "Units. A slope counts as shut where |φ′| is below 1 % of the greatest it can be, and a unit as dead where it "
        "is shut on every validation image: next to no gradient comes through it. "
    )
    dead = max(group, key=lambda net: float(worst(net, "dead", -1).mean()))
    if (share := worst(dead, "dead", -1)).any():
        text += f"Most are dead in the end in {dead.plan}, {percent(share)} of a layer. "
    else:
        text += "In the end no unit of any net is dead. "
    flat = [net for net in group if flat_both_ways(net.plan.between)]
    if flat:
        most = max(flat, key=lambda net: float(worst(net, "shut", -1).mean()))
        text += (
            f"Flat at both ends, {listed(dict.fromkeys(net.plan.between for net in flat))} can saturate: in the "
            f"end at most {percent(worst(most, 'shut', -1))} of the slopes of a layer are shut, in {most.plan}. "
        )
    if len(flat) < len(group):
        rest = dict.fromkeys(net.plan.between for net in group if net not in flat)
        text += f"In {listed(rest)} shut slopes are in the nature of the thing, and only a dead unit is lost."
    return text.strip()


def flat_both_ways(between: str) -> bool:
    """Whether an activation's slope is shut far below 0 and far above: then it saturates."""
    activation = ACTIVATIONS[between][0]  # type: ignore[index]
    ends = jnp.abs(slope(activation, jnp.array([-20.0, 20.0], jnp.float32)))
    return bool((ends < SHUT * steepest(activation)).all())


def gap_in_words(nets: Sequence[Net]) -> str:
    """How far training and validation come apart, and where validation turns."""
    group = taught(nets)
    turn = {net.plan: net.history["val_loss"].argmin(1) for net in group}
    last = group[0].history["val_loss"].shape[1] - 1
    turned = [plan for plan, epoch in turn.items() if (epoch < last).all()]
    text = (
        f"Generalisation. In the end the gap is, with {listed(map(layers, depths(nets)))}: "
        f"{by_depth(group, lambda net: mean_sd(gap(net), '.3f'))}. "
    )
    if not turned:
        return text + "With none of them is the validation loss lowest before the last epoch in every seed."
    first = min(turned, key=lambda plan: float(turn[plan].mean()))
    return text + (
        f"In {len(turned)} of {len(group)} nets every seed has its lowest validation loss before the last epoch, "
        f"earliest in {first}, after epoch {mean_sd(turn[first], '.1f')} of {last}: from there on it overfits."
    )


def spread_in_words(nets: Sequence[Net]) -> str:
    """Whether seeds come out further apart with more layers."""
    if len(depths(nets)) < 2:
        return ""
    few, *_, many = depths(nets)
    variances = []
    for depth in (few, many):
        each = [wrong(net, "test").var(ddof=1) for net in taught(nets, depth)]
        freedom = sum(len(net.test["loss"]) - 1 for net in taught(nets, depth))
        variances.append((float(np.mean(each)), freedom))
    (a, freedom_a), (b, freedom_b) = variances
    text = (
        f"Seeds. The test error's standard deviation over seeds, over all activations, is {np.sqrt(a):.2f} points "
        f"with {layers(few)} and {np.sqrt(b):.2f} with {many}"
    )
    if a == 0 or b == 0:
        return text + "."
    # The logarithm of a variance of f degrees of freedom strays by about √(2/f).
    ratio = Estimate(float(np.log(b / a)), float(np.sqrt(2 / freedom_a + 2 / freedom_b)))
    return text + trend(ratio, ", clearly less.", ", clearly more.", ": so few seeds don't tell them apart.")


def trouble_table(nets: Sequence[Net]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: what was measured of every net's training."""
    header = (
        "net", "first/last gradient at the start", "at the end", "epochs to a common loss", "shut %", "dead %", "gap",
        "lowest validation loss after epoch",
    )  # fmt: skip
    rows = []
    for net in nets:
        never = not taught(nets) or not (net.history["val_loss"] <= common_level(nets)).any(1).all()
        epochs = "–" if never else mean_sd(epochs_to(net, common_level(nets)), ".1f")
        rows.append(
            (
                str(net.plan),
                *(mean_sd(reach(net, epoch), ".2f") for epoch in (0, -1)),
                epochs,
                *(mean_sd(worst(net, share, -1), ".1f") for share in ("shut", "dead")),
                mean_sd(gap(net), ".3f"),
                mean_sd(net.history["val_loss"].argmin(1), ".1f"),
            )
        )
    return header, rows


def weights_in_words(nets: Sequence[Net]) -> str:
    """How large weights get, where, when, and what for."""
    true = labelled_truly(nets)
    each = [(net, i) for net in true for i in range(net.plan.layers)]

    def course(net: Net, i: int) -> np.ndarray:
        return np.asarray(net.history["max_w"][:, :, i])

    grown = [
        (net, i)
        for net, i in each
        if (d := change(course(net, i)[:, 0], course(net, i)[:, -1])).clear and d.value > 0
    ]
    text = f"From start to end the largest |w| clearly grows in {len(grown)} of {len(each)} layers, all nets together. "
    if grown:
        most = max(grown, key=lambda pair: course(*pair)[:, -1].mean() / course(*pair)[:, 0].mean())
        net, i = most
        halves = [
            int((values >= (values[0] + values[-1]) / 2).argmax())
            for values in (course(net, i).mean(0) for net, i in grown)
        ]
        text += (
            f"Most of all in layer {i + 1} of the net of {net.plan}, from {mean_sd(course(*most)[:, 0], '.2f')} to "
            f"{mean_sd(course(*most)[:, -1], '.2f')}. Half of the growth is over after {np.median(halves):.0f} of "
            f"{course(*most).shape[1] - 1} epochs, in the median layer. "
        )
    ends = {net.plan: net.history["max_w"][:, -1].max(1) for net in true}
    ordered = sorted(ends, key=lambda plan: float(ends[plan].mean()))
    if len(ordered) > 1:
        low, high = ordered[0], ordered[-1]
        text += (
            f"In the end the largest weight is {mean_sd(ends[high], '.2f')} in {high}, more than in any other net, and "
            f"{mean_sd(ends[low], '.2f')} in {low}, less than in any. "
        )
    control = next((net for net in nets if net.plan.shuffled), None)
    same = find(nets, *control.plan[:2]) if control else None
    if control and same:
        x, y = ends[same.plan], control.history["max_w"][:, -1].max(1)
        larger = trend(change(x, y), "clearly smaller", "clearly larger", "not clearly different")
        text += (
            f"On shuffled labels the largest weight of {same.plan} is {mean_sd(y, '.2f')} rather than "
            f"{mean_sd(x, '.2f')}, {larger}."
        )
    return text.strip()


def pictures_in_words(pictures: data.Dataset) -> str:
    """How to read weights as pictures."""
    inked = pictures["train"].x.any(0)
    text = "In the pictures of first layers, ink on red pixels speaks for a unit, on blue ones against it."
    blank = len(inked) - inked.sum()
    if not blank:
        return text
    return (
        f"{text} {blank} of the {len(inked)} pixels are blank in all training images: no gradient comes to the weights "
        "from them, and what is seen there is how they started."
    )


def control_in_words(nets: Sequence[Net], classes: int) -> str:
    """Whether a net that was taught nothing true is right no more often than chance."""
    control = next((net for net in nets if net.plan.shuffled), None)
    if control is None:
        return "The control, trained on shuffled labels, did not get to its end."
    right, learnt, chance = 100 - wrong(control, "test"), 100 - wrong(control, "training"), 100 / classes
    off = mean(right - chance)
    text = (
        f"{Plan(*control.plan[:2])} trained on labels that say nothing, each class of images having every label "
        f"alike often, gets {percent(right)} of the test images right: "
    )
    if abs(off.value) <= 1:
        text += f"chance, which is {chance:.3g} %, within 1 point. What the other nets know, they have from the labels."
    elif not off.clear:
        text += (
            f"{points(off)} points from chance, which is {chance:.3g} %, and not clearly so, as the trainings scatter: "
            "what such a net happens to say of one image it says of those like it."
        )
    else:
        text += f"{points(off)} points from chance, which is {chance:.3g} %. Something other than the labels tells."
    by_heart = (
        ": what is above chance it has by heart"
        if (up := mean(learnt - chance)).clear and up.value > 0
        else ""
    )
    return f"{text} Of its own labels it gets {percent(learnt)} right in the end{by_heart}."


def by_epoch(values: Mapping[str, np.ndarray]) -> dict[str, plots.Curve]:
    """Curves of named values (seeds, epochs + 1): mean ± sd."""
    return {
        name: plots.Curve(np.arange(v.shape[1]), v.mean(0), v.std(0, ddof=1)) for name, v in values.items()
    }


def over_depths(nets: Sequence[Net], values: Callable[[Net], np.ndarray]) -> dict[str, plots.Curve]:
    """A curve for each thing between layers, of values (seeds,) by the number of layers: mean ± sd.

    A net of one layer starts all.
    """
    series = {}
    for between in dict.fromkeys(net.plan.between for net in nets if net.plan.layers > 1):
        group = [net for net in nets if net.plan.layers == 1 or net.plan.between == between]
        x = [net.plan.layers for net in group]
        series[between] = plots.Curve(x, *zip(*(_mean_and_sd(values(net)) for net in group), strict=True))
    return series


def _mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1))


def deepest(nets: Sequence[Net]) -> list[Net]:
    """The nets of as many layers as any has, whatever is between, but the control."""
    true = labelled_truly(nets)
    most = max((net.plan.layers for net in true), default=0)
    return [net for net in true if net.plan.layers == most]


def activation_figures(run: runs.Run, nets: Sequence[Net]) -> tuple[list[str], list[str]]:
    """Test errors by what stands between the layers, and how they come about."""
    errors, learning, one = [], [], find(nets, 1)
    for depth in depths(nets):
        group = [net for net in labelled_truly(nets) if net.plan.layers == depth]
        rows = {"1 layer": wrong(one, "test")} if one else {}
        rows |= {net.plan.between: wrong(net, "test") for net in group}
        values = {name: row.tolist() for name, row in rows.items()}
        drawing = plots.dots(values, layers(depth), "% of test images wrong")
        errors.append(run.figure(f"test-error-{depth}", *drawing))
        series = by_epoch({net.plan.between: 100 * (1 - net.history["val_accuracy"]) for net in group})
        end = ("1 layer in the end", float(wrong(one, "validation").mean())) if one else None
        y_label = "% of validation images wrong, ± sd"
        drawing = plots.bands(series, layers(depth), "epoch", y_label, end, log=True)
        learning.append(run.figure(f"learning-{depth}", *drawing))
    return errors, learning


def depth_figures(run: runs.Run, nets: Sequence[Net]) -> list[str]:
    """Training and test errors by the number of layers."""
    if not depths(nets):
        return []
    pictures = []
    for split in ("training", "test"):
        series = over_depths(labelled_truly(nets), partial(wrong, split=split))
        y_label = f"% of {split} images wrong, ± sd"
        drawing = plots.with_errors(series, f"{split} error", "layers", y_label, log=True, log_x=False)
        pictures.append(run.figure(f"{split}-error-by-depth", *drawing))
    return pictures


def trouble_figures(run: runs.Run, nets: Sequence[Net]) -> list[list[str]]:
    """Gradients, units and gap, by depth, and by epoch in the deepest nets."""
    group = deepest(nets)
    title = layers(group[0].plan.layers)

    def depth(name: str, values: Callable[[Net], np.ndarray], what: str, y_label: str, **options: Any) -> str:
        series = over_depths(labelled_truly(nets), values)
        return run.figure(name, *plots.with_errors(series, what, "layers", y_label, log_x=False, **options))

    def epoch(name: str, values: Mapping[str, np.ndarray], what: str, y_label: str, **options: Any) -> str:
        return run.figure(
            name, *plots.bands(by_epoch(values), f"{title}: {what}", "epoch", y_label, **options)
        )

    def norms(i: int) -> dict[str, np.ndarray]:
        return {net.plan.between: net.history["gradient_norm"][:, :, i] for net in group}

    def shares(key: str) -> dict[str, np.ndarray]:  # of nothing between, which is never shut, 0
        return {net.plan.between: 100 * net.history[key].max(2, initial=0) for net in group}

    at_start, most = "first layer's gradient / last layer's", "% in the worst layer, ± sd"
    loss, no_gap = "validation − training loss, ± sd", ("no gap", 0.0)
    gaps = {net.plan.between: net.history["gap"] for net in group}
    return [
        [
            depth(
                "gradient-reach", partial(reach, epoch=0), at_start, "ratio before training, ± sd", log=True
            ),
            epoch("gradient-first", norms(0), "first layer's gradient", "length, ± sd", log=True),
            epoch("gradient-last", norms(-1), "last layer's gradient", "length, ± sd", log=True),
        ],
        [
            epoch("shut", shares("shut"), "slopes shut", most),
            epoch("dead", shares("dead"), "units dead", most),
        ],
        [
            depth("gap-by-depth", gap, "generalisation gap", loss, level=no_gap),
            epoch("gap", gaps, "generalisation gap", loss, level=no_gap),
        ],
    ]


def weight_figures(run: runs.Run, nets: Sequence[Net], pictures: data.Dataset) -> list[str]:
    """The largest |w| of each layer of the deepest nets, by epoch; and first layers' weights as pictures."""
    group, figures = deepest(nets), []
    for i in range(group[0].plan.layers if group else 0):
        series = by_epoch({net.plan.between: net.history["max_w"][:, :, i] for net in group})
        title = f"{layers(group[0].plan.layers)}: max |w| of layer {i + 1}"
        figures.append(
            run.figure(f"max-w-{i + 1}", *plots.bands(series, title, "epoch", "largest |w|, ± sd"))
        )
    if pictures.image_shape is None or not group:  # in colour
        return figures
    params = run.arrays("params.safetensors")
    control = [net for net in nets if net.plan.shuffled]
    shown = [*nets[:1], chosen(labelled_truly(nets)), *control]
    for plan in dict.fromkeys(net.plan for net in shown):
        w = params[f"{plan}.0.w"][0]
        drawing = plots.weight_pictures(w, pictures.image_shape, f"{plan}, layer 1", most=16)
        figures.append(run.figure(f"weights-{len(figures)}", *drawing))
    return figures


def control_figures(run: runs.Run, nets: Sequence[Net], classes: int) -> list[str]:
    """How right the control is, on its own labels and on true ones."""
    control = [net for net in nets if net.plan.shuffled]
    if not control:
        return []
    history = control[0].history
    series = by_epoch(
        {
            "its own labels, training images": 100 * history["accuracy"],
            "true labels, validation images": 100 * history["val_accuracy"],
        }
    )
    drawing = plots.bands(series, str(control[0].plan), "epoch", "% right, ± sd", ("chance", 100 / classes))
    return [run.figure("control", *drawing)]


if __name__ == "__main__":
    runs.main(Config, run, "Depth and activation on MNIST: what matters, what is needed, what goes wrong.")
