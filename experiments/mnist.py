"""The MNIST lab: does the activation matter, are 2 or 3 layers needed, what goes wrong with depth?

Perceptrons of every depth, with each activation between their layers and with none, are trained by
hand-written backprop from several seeds, and watched as they learn. A net trained on shuffled
labels is the control: it should do no better than chance. `make mnist` runs it;
`make mnist SEEDS=3 DATASET=fashion_mnist` sets flags.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import data, plots, reporting, runs
from backhand.checks import batches, different, positive_integer
from backhand.layer import Array, Layer, Params
from backhand.models import Activation, perceptron
from backhand.reporting import Contrast, Measure, Question, Report, Trained, contrast, figures
from backhand.training import OPTIMIZERS, Optimizer, Progress

NONE = "none"  # between layers: a linear layer follows a linear layer
WATCHED = 1024  # training pictures that gradients and units are watched on
SHUT = 0.01  # of an activation's steepest slope: a slope below counts as none

History: TypeAlias = Mapping[str, np.ndarray]  # (seeds, epochs, …)
Of: TypeAlias = Callable[[History], np.ndarray]


def wrong(history: History) -> np.ndarray:
    """The share of validation pictures that are wrong by epoch, in %: (seeds, epochs)."""
    return 100 * (1 - history["val_accuracy"])


def most(history: History, share: str) -> np.ndarray:
    """A share, "dead" or "shut", in the layer with most of it, in %: (seeds, epochs)."""
    if share not in history:  # there is nothing between the layers
        return np.zeros_like(history["val_loss"])
    return np.asarray(100 * history[share].max(-1))


def reach(lengths: np.ndarray) -> np.ndarray:
    """The first layer's gradient as a share of the last layer's, of lengths (…, layers)."""
    return lengths[..., 0] / np.where(lengths[..., -1] > 0, lengths[..., -1], np.nan)


# What is measured of a net after training: a number a seed.
TEST = Measure("test error", lambda n: 100 * (1 - n.facts["test_accuracy"]), "%", "higher")
TRAINING = Measure("training error", lambda n: 100 * (1 - n.facts["train_accuracy"]), "%", "higher")
VALIDATION = Measure("validation error", lambda n: wrong(n.history)[:, -1], "%", "higher")
GAP = Measure("loss gap", lambda n: n.facts["gap"], "nats", "higher", ".3f")
REACH = Measure("first/last gradient", lambda n: reach(n.facts["first_gradient"]), worse="lower")
DEAD = Measure("dead units", lambda n: most(n.history, "dead")[:, -1], "%", "higher")

MATTERS = partial(
    Question,
    "Does the activation between layers matter?",
    better="The activation between layers matters: any of them lowers the test error.",
    worse="The activation between layers matters: any of them raises the test error.",
    unclear="No activation between layers clearly changes the test error.",
    mixed="Not every activation between layers clearly lowers the test error.",
)
ENOUGH = partial(
    Question,
    "Are 2 or 3 layers needed?",
    better="Two layers are not enough: with the best activations, more lower the test error.",
    worse="Two layers are enough: with the best activations, more raise the test error.",
    unclear="Two layers are enough: with the best activations, more are not clearly better.",
    mixed="Not all deeper nets compare alike with two layers: the table shows which.",
    missing="",
)
WITH_DEPTH = partial(
    Question,
    better="No: with every activation it is the other way round.",
    worse="Yes, with every activation.",
    unclear="Not clearly, with any activation.",
    mixed="That depends on the activation.",
)
GROWS = partial(
    Question,
    "How do the weights behave?",
    better="In every layer of every net, the largest weight grows in training.",
    worse="In every layer of every net, the largest weight shrinks in training.",
    unclear="The largest weights do not clearly change in training.",
    mixed="The largest weight grows in some layers, but not in all.",
)
CHANCE = "Yes: taught at random, a net is right as often as chance, within 1 point."
NOT_CHANCE = "Perhaps not: taught at random, a net is more than 1 point from chance."
READ_TABLE = """Each net was trained from several seeds: different first weights, a different order
of the pictures. The training error, and the loss gap, which is validation less training, are
measured on as many training pictures as there are test pictures."""
READ_LINEAR = "Linear maps in a row are one linear map: what they can do, one layer can."
READ_GRADIENT = """The length of the first layer's gradient as a share of the last layer's: before
training, then by epoch in the deepest nets. On its way back a gradient is multiplied by each
activation's slopes, and a sigmoid's are ¼ at most."""
READ_UNITS = """A slope is shut if it is below 1 % of the steepest; a unit is dead if its slope is
shut on every picture. Sigmoid and tanh saturate if slopes shut; relu and gelu are meant to."""
READ_WEIGHTS = """The curves are the deepest nets'. A picture is one unit's weights: ink on orange
pixels speaks for it, on blue against it. Pixels that never have ink in training get no gradient."""
READ_CONTROL = """The control's labels were dealt at random, so that no class has more of one than
of another. Its training error, in the table, is on them: what it has right it knows by heart."""


@dataclass(frozen=True)
class Config(runs.PictureConfig):
    """What the lab trains, and how."""

    dataset: str = "mnist"
    """Which pictures: mnist, fashion_mnist, kmnist, digits, or others of TensorFlow Datasets."""
    hidden: tuple[int, ...] = (128, 64)
    """Hidden widths: 128 64 trains nets of 1, of 2 and of 3 layers."""
    activations: tuple[Activation, ...] = ("sigmoid", "tanh", "relu", "gelu")
    """What stands between linear layers, each in turn, and nothing. The last is the control's."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hidden:
            raise ValueError("config: hidden should be one or more, got none")
        different("config", "activations", self.activations)
        positive_integer("config", "seeds", self.seeds, least=2)


class Plan(NamedTuple):
    """A net to train."""

    layers: int
    between: str  # an activation's name, or NONE
    shuffled: bool = False  # trained on labels that say nothing

    def __str__(self) -> str:
        words = ["1 layer" if self.layers == 1 else f"{self.layers} layers"]
        words += [self.between] * (self.layers > 1) + ["shuffled"] * self.shuffled
        return ", ".join(words)


def load(config: Config) -> data.Dataset:
    """The pictures; ValueError if a batch takes more than there are."""
    pictures = data.pictures(config.dataset, config.data_dir, config.seed)
    batches("config", len(pictures["train"].y), config.batch_size)
    return pictures


def planned(config: Config) -> list[Plan]:
    """Each depth with each thing between its layers; one layer has none. Then the control."""
    deepest = len(config.hidden) + 1
    betweens = (NONE, *config.activations)
    deeper = [Plan(depth, name) for depth in range(2, deepest + 1) for name in betweens]
    return [Plan(1, NONE), *deeper, Plan(deepest, config.activations[-1], shuffled=True)]


def network(config: Config, plan: Plan, classes: int) -> Layer:
    """The perceptron, or linear layers with nothing between."""
    hidden = config.hidden[: plan.layers - 1]
    if plan.between == NONE:
        return bh.serial(*map(bh.linear, (*hidden, classes)))
    return perceptron(hidden, classes, plan.between)  # type: ignore[arg-type]


def train(config: Config, run: runs.Run, pictures: data.Dataset) -> None:
    """Train every net from every seed, watch it after each epoch, and score it at the end."""
    splits = {name: jax.device_put(tuple(split)) for name, split in pictures.splits.items()}
    plans, optimizer = planned(config), OPTIMIZERS[config.optimizer](config.learning_rate)
    progress = Progress(config.epochs, parts=len(plans) * config.seeds)
    for i, plan in enumerate(plans):
        x, y = splits["train"]
        if not plan.shuffled:  # the control's net is the one before it
            net = network(config, plan, len(pictures.class_names))
            training = bh.Training(net, bh.softmax_cross_entropy, optimizer)
            watch = watching(training, x[:WATCHED], y[:WATCHED])
        trained = []
        for j in range(config.seeds):
            seed, name = config.seed + j, f"{plan}, seed {config.seed + j}"
            if plan.shuffled:
                y = jax.device_put(shuffled(pictures["train"].y, seed))
            progress.begin(i * config.seeds + j, name)
            start = bh.init_state(training, jax.random.key(seed), x)
            facts: dict[str, Any] = {f"first_{k}": a for k, a in watch(start.params).items()}
            state, history = bh.fit(
                training, (x, y), state=start, epochs=config.epochs, batch_size=config.batch_size,
                validation=splits["validation"], metrics=[bh.accuracy], observe=watch,
                checkpoints=run.checkpoints(name), progress=progress,
            )  # fmt: skip
            some = len(pictures["test"].y)  # of training pictures: one program scores both
            for split, (xs, ys) in {"train": (x[:some], y[:some]), "test": splits["test"]}.items():
                scores = bh.evaluate(training, state.params, xs, ys, [bh.accuracy])
                facts |= {f"{split}_{key}": value for key, value in scores.items()}
            facts["gap"] = history["val_loss"][-1] - facts["train_loss"]
            trained.append((state.params, history, facts))
        params, history, facts = jax.tree.map(lambda *leaves: np.stack(leaves), *trained)
        run.keep(str(plan), params, history, **plan._asdict(), **facts)


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Labels that say nothing: the pictures of each class get every label equally often, at random.

    If the labels that there are were permuted, the commonest would still be the best guess: of
    MNIST's test digits 11.35 % are a 1.
    """
    rng, classes, dealt = np.random.default_rng(seed), np.unique(labels), np.empty_like(labels)
    for label in classes:
        rows = np.flatnonzero(labels == label)
        dealt[rows] = rng.permutation(np.resize(classes, len(rows)))
    return dealt


def watching(training: bh.Training, x: Array, y: Array) -> Callable[[Params], dict[str, Array]]:
    """A function that looks into a serial net's params, by the training examples (x, y).

    It gives a number a linear layer: "max_w", the largest |w|, and "gradient", the length of the
    mean loss's gradient by w and b. And a number an activation, whose slope is shut if it is below
    1 % of the steepest: "shut", the share of (unit, picture) pairs whose slope is, and "dead", the
    share of units whose slope is on every picture.
    """
    gradient = bh.manual(training.net, training.loss)

    def watch(params: Params) -> dict[str, Array]:
        seen: dict[str, list[Array]] = {"max_w": [], "gradient": [], "shut": [], "dead": []}
        z, (_, dparams) = x, gradient(params, x, y, jax.random.key(0))  # no layer uses its key
        for layer, p, dp in zip(training.net.parts, params, dparams, strict=True):
            z, residuals = layer.forward(p, z, jax.random.key(0))
            if isinstance(p, bh.Linear):
                seen["max_w"].append(jnp.abs(p.w).max())
                seen["gradient"].append(jnp.sqrt((dp.w**2).sum() + (dp.b**2).sum()))
            else:
                _, slopes = layer.backward(p, residuals, jnp.ones_like(z))
                shut = jnp.abs(slopes) < SHUT * steepest(layer)
                seen["shut"].append(shut.mean(dtype=jnp.float32))
                seen["dead"].append(shut.all(0).mean(dtype=jnp.float32))
        return {name: jnp.stack(values) for name, values in seen.items() if values}

    return watch


def steepest(activation: Layer) -> float:
    """The greatest |φ′| there is, by the activation's own backward: ¼ for sigmoid, 1 for relu."""
    with jax.ensure_compile_time_eval():
        line = jnp.linspace(-8, 8, 1601, dtype=jnp.float32)
        _, residuals = activation.forward((), line, jax.random.key(0))
        return float(jnp.abs(activation.backward((), residuals, jnp.ones_like(line))[1]).max())


def questions(nets: Mapping[Plan, Trained]) -> dict[str, Question]:
    """The report's questions, with the contrasts of these nets that answer them."""
    true = [plan for plan in nets if not plan.shuffled]
    taught = [plan for plan in true if plan.between != NONE]
    depths = sorted({plan.layers for plan in taught})
    best = [chosen(nets, [p for p in taught if p.layers == depth]) for depth in depths]
    last = [p for p in taught if p.layers == depths[-1] > depths[0]]
    deeper = [(plan._replace(layers=depths[0]), plan) for plan in last]
    speed = epochs_to([nets[plan] for plan in taught])

    def with_depth(heading: str, measure: Measure) -> Question:
        return WITH_DEPTH(heading, compared(nets, measure, deeper))

    return {
        "matters": MATTERS(compared(nets, TEST, [(p._replace(between=NONE), p) for p in taught])),
        "enough": ENOUGH(compared(nets, TEST, [(best[0], p) for p in best[1:]])),
        "reach": with_depth("With depth, does less gradient reach the first layer?", REACH),
        "speed": with_depth("With depth, do nets learn more slowly?", speed),
        "dead": with_depth("With depth, do more units die?", DEAD),
        "gap": with_depth("With depth, do nets overfit more?", GAP),
        "test": with_depth("With depth, do nets make more mistakes?", TEST),
        "grows": GROWS([found for plan in true for found in growth(nets[plan])]),
    }


def compared(
    nets: Mapping[Plan, Trained], measure: Measure, pairs: Iterable[tuple[Plan, Plan]]
) -> list[Contrast]:
    """The contrasts of those pairs of which both were trained."""
    return [contrast(measure, nets[a], nets[b]) for a, b in pairs if a in nets and b in nets]


def chosen(nets: Mapping[Plan, Trained], plans: Iterable[Plan]) -> Plan:
    """Of these plans that whose net has the lowest validation error."""
    return min(plans, key=lambda plan: float(wrong(nets[plan].history)[:, -1].mean()))


def epochs_to(nets: Sequence[Trained]) -> Measure:
    """How many epochs a net needs for the lowest loss that all these reach, from every seed."""
    level = max((net.history["val_loss"].min(1).max() for net in nets), default=0.0)

    def epochs(net: Trained) -> np.ndarray:
        return np.asarray(1 + (net.history["val_loss"] <= level).argmax(1))

    return Measure("epochs to a loss that all reach", epochs, worse="higher", form=".1f")


def growth(net: Trained) -> list[Contrast]:
    """Each layer's largest |w| before training and after it, seed by seed."""
    before = Trained("before", None, {"max_w": net.facts["first_max_w"][:, None]}, {})

    def largest(i: int) -> Measure:
        return Measure(f"largest |w|, layer {i + 1}", lambda n: n.history["max_w"][:, -1, i])

    measures = map(largest, range(net.facts["layers"]))
    return [contrast(measure, before, net, paired=True) for measure in measures]


def learnt(control: Trained, chance: float) -> str:
    """Whether a net that was taught nothing is right as often as chance, which is given in %."""
    right = 100 * control.facts["test_accuracy"].mean()
    return CHANCE if abs(right - chance) <= 1 else NOT_CHANCE


def report(config: Config, run: runs.Run, pictures: data.Dataset) -> Report:
    """The findings and their picture, the table, then a section a question."""
    nets = {Plan(*(net.facts[field] for field in Plan._fields)): net for net in run.kept.values()}
    true = [plan for plan in nets if not plan.shuffled]
    asked, depths = questions(nets), sorted({plan.layers for plan in true})
    deep = [plan for plan in true if plan.layers == depths[-1]]
    control = [plan for plan in nets if plan.shuffled]
    read, one = reporting.paragraph, Plan(1, NONE)

    def figure(title: str, drawing: plots.Drawing, wide: bool = False) -> str:
        return run.figure(re.sub(r"\W+", "-", title.lower()), drawing, wide)

    def by_depth(measure: Measure, wide: bool = False, log: bool = True) -> str:
        series, title = {}, measure.name.capitalize()
        for name in dict.fromkeys(plan.between for plan in true):
            group = [nets[plan] for plan in true if plan.layers == 1 or plan.between == name]
            series[name] = np.stack([measure.of(net) for net in group], 1)
        y, over = f"{measure.unit or 'ratio'}, ± sd", ("layers", depths)
        drawing = plots.curves(series, title, y, over, log=log, wide=wide)
        return figure(title, drawing, wide)

    def by_epoch(title: str, y: str, of: Of, plans: list[Plan] = deep, log: bool = False) -> str:
        series = {plan.between: of(nets[plan].history) for plan in plans}
        return figure(title, plots.curves(series, title, f"{y}, ± sd", log=log))

    def after_one(plans: Iterable[Plan]) -> str:
        return reporting.contrast_table(compared(nets, TEST, [(one, p) for p in plans])).html()

    def learning(depth: int) -> str:
        plans = [plan for plan in true if plan.layers == depth]
        return by_epoch(f"{depth} layers", VALIDATION.label, wrong, plans, log=True)

    def layer(i: int) -> str:
        return by_epoch(f"Layer {i + 1}", "largest |w|", lambda h: h["max_w"][..., i])

    weights, shape = list(map(layer, range(depths[-1]))), pictures.image_shape
    for plan in dict.fromkeys([one, chosen(nets, true), *control]):
        if shape:  # not in colour
            w = np.asarray(nets[plan].params[0].w[0])
            drawing = plots.weight_pictures(w, shape, f"{plan}, layer 1", most=16)
            weights.append(figure(f"weights, {plan}", drawing))
    gradient = by_epoch("As they learn", REACH.name, lambda h: reach(h["gradient"]), log=True)
    dead = by_epoch("Dead units", "%, worst layer", lambda h: most(h, "dead"))
    shut = by_epoch("Shut slopes", "%, worst layer", lambda h: most(h, "shut"))
    plain = after_one(plan for plan in true if plan.layers > 1 and plan.between == NONE)
    taught = after_one(plan for plan in true if plan.between != NONE)
    table = reporting.table_of([TEST, VALIDATION, TRAINING, GAP], nets.values())
    pieces = [
        table.html(),
        read(READ_TABLE),
        asked["matters"].html(figures(*map(learning, depths[1:])), read(READ_LINEAR), plain),
        asked["enough"].html(taught),
        asked["reach"].html(read(READ_GRADIENT), figures(by_depth(REACH), gradient)),
        asked["speed"].html(),
        asked["dead"].html(read(READ_UNITS), figures(dead, shut)),
        asked["gap"].html(figures(by_depth(TRAINING), by_depth(GAP, log=False))),
        asked["test"].html(),
        asked["grows"].html(read(READ_WEIGHTS), figures(*weights)),
    ]
    for plan in control:
        chance = 100 / len(pictures.class_names)
        right = {plan.between: 100 - wrong(nets[plan].history)}
        drawing = plots.curves(right, str(plan), "% right, ± sd", level=("chance", chance))
        pieces += [reporting.heading("Is it the labels that they learn?")]
        pieces += [read(learnt(nets[plan], chance)), read(READ_CONTROL), figure("control", drawing)]
    finding = f"{asked['matters'].verdict} {asked['enough'].verdict}"
    picture = by_depth(TEST, wide=True)
    return Report(f"Depth and activation on {config.dataset}", finding, picture, pieces, table)


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="Depth and activation on MNIST.")
