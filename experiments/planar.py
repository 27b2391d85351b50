"""Classes in the plane: a net's decision boundary, bending as it learns, by hand-written backprop.

`make planar` trains a perceptron from several seeds at once and films the boundary of the first;
`make planar DATASET=xor COMPARE=true` puts nets of every depth side by side, from a line up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import backhand as bh
from backhand import data, plots, reporting, runs
from backhand.layer import Array, Layer, Params
from backhand.models import Activation, perceptron, perceptron_name
from backhand.reporting import Measure, Question, Trained, figures, heading, paragraph
from backhand.training import OPTIMIZERS, Optimizer, Progress

Drawn = Literal["lesson", "gauss", "circle", "xor", "spiral", "moons", "blobs", "spirals"]
GRID = 160  # points of a picture's grid, along each axis
FRAMES = 40  # of the film
UNITS = 16  # of a layer, that are drawn


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    """What is trained, on which points, and how."""

    dataset: Drawn | None = None
    """The points, from backhand.data; by default the spiral."""
    csv: Path | None = None
    """Your own points instead: columns named x1, x2 and label, or any three in that order, with or
    without names. A label is any word or number."""
    classes: int | None = None
    """The number of classes of blobs (5) and spirals (3); the others have two."""
    size: int | None = None
    """Points in all: 500, or 100 of the lesson's. 80 % train, 20 % validate."""
    noise: float | None = None
    """Standard deviation of the points about the set's shape, which is about 2 across; for the
    lesson's set, the share of wrong labels. Each set has its own default."""
    hidden: tuple[int, ...] = (16, 16)
    """Hidden widths: 8,8 is two layers of eight units; without a value the net is linear."""
    activation: Activation = "silu"
    """What stands between linear layers."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 0.02
    """Step size."""
    batch_size: int = 32
    """Examples a step; all of them, if there are fewer."""
    epochs: int = 200
    """Passes over the training points."""
    seeds: int = 5
    """How many seeds train together, for mean and standard deviation; pictures show the first."""
    seed: int = 0
    """The first seed. A seed draws points, split, first weights and the order of examples."""
    compare: bool = False
    """Train nets of every depth up to the hidden widths, from none, on the same points."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("dataset", "classes", "size", "noise"):
            if self.csv is not None and getattr(self, field) is not None:
                raise ValueError(f"config: {field} is for drawn points, not those of {self.csv}")
        if self.classes is not None and self.dataset not in ("blobs", "spirals"):
            got = f"{self.classes} with {self.points}"
            raise ValueError(f"config: classes is for blobs and spirals, got {got}")
        if self.compare and not self.hidden:
            raise ValueError("config: compare needs a hidden layer, such as --hidden 16, got none")

    @property
    def points(self) -> str:
        """The name of the points."""
        return self.csv.name if self.csv else self.dataset or "spiral"


def load(config: Config) -> list[data.Dataset]:
    """The points of each seed; OSError if a file can't be read."""
    seeds = range(config.seed, config.seed + config.seeds)
    if config.csv is not None:
        return [data.read_points(config.csv, seed) for seed in seeds]
    asked = {"classes": config.classes, "size": config.size, "noise": config.noise}
    given = {name: value for name, value in asked.items() if value is not None}
    return [getattr(data, config.points)(seed=seed, **given) for seed in seeds]


def train(config: Config, run: runs.Run, sets: list[data.Dataset]) -> None:
    """Train each net from every seed at once, on that seed's points."""
    (x, y), validation = (
        (jnp.stack([scaled(s[split].x, s) for s in sets]), jnp.stack([s[split].y for s in sets]))
        for split in ("train", "validation")
    )
    classes = len(sets[0].class_names)
    outputs = 1 if classes == 2 else classes  # one logit tells two classes apart
    depths = range(len(config.hidden) + 1) if config.compare else [len(config.hidden)]
    seeds = np.arange(config.seed, config.seed + config.seeds, dtype=np.uint32)
    progress = Progress(config.epochs, parts=len(depths))
    for part, depth in enumerate(depths):
        hidden = config.hidden[:depth]
        training = bh.Training(
            net=perceptron(hidden, outputs, config.activation),
            loss=bh.logistic if outputs == 1 else bh.softmax_cross_entropy,
            optimizer=OPTIMIZERS[config.optimizer](config.learning_rate),
        )
        name = perceptron_name(2, hidden, outputs)
        progress.begin(part, name)
        start = bh.init_state(training, jax.vmap(jax.random.key)(seeds), x[0])
        state, history = bh.fit(
            training,
            (x, y),
            state=start,
            data_per_key=True,
            epochs=config.epochs,
            batch_size=min(config.batch_size, x.shape[1]),
            validation=validation,
            metrics=[bh.accuracy],
            score_train=True,
            observe=flat,
            checkpoints=run.checkpoints(name),
            progress=progress,
        )
        first = jax.vmap(flat)(start.params)["params"][0]
        film = np.stack([first, *history.pop("params")[0]])[filmed(config.epochs)]
        facts = {"hidden": hidden, "outputs": outputs, "parameters": first.size, "film": film}
        run.keep(name, state.params, history, **facts)


def scaled(x: np.ndarray, points: data.Dataset) -> np.ndarray:
    """What a net is given: x minus the training points' mean, over their standard deviation."""
    train = points["train"].x.astype(np.float64)
    deviation = train.std(0)
    return np.asarray((x - train.mean(0)) / np.where(deviation > 0, deviation, 1), np.float32)


def flat(params: Params) -> dict[str, Array]:
    """All parameters in one vector."""
    return {"params": ravel_pytree(params)[0]}


def filmed(epochs: int) -> list[int]:
    """The epochs that are filmed, from 0: the earlier, the denser."""
    return sorted({round(epochs * (i / (FRAMES - 1)) ** 2) for i in range(FRAMES)})


def accuracy(net: Trained) -> np.ndarray:
    """The share of validation points that are right after the last epoch, in %, (seeds,)."""
    return 100 * net.history["val_accuracy"][:, -1]


ACCURACY = Measure("valid. acc.", accuracy, "%", "lower", ".1f")
MEASURES = (
    Measure("params", lambda net: np.array([net.facts["parameters"]]), form=",.9g"),
    Measure("train acc.", lambda net: 100 * net.history["train_accuracy"][:, -1], "%", form=".1f"),
    ACCURACY,
    Measure("valid. loss", lambda net: net.history["val_loss"][:, -1], "nats", form=".2g"),
)


def depth_helps(nets: Sequence[Trained]) -> Question:
    """Whether hidden layers beat the line, on the same points seed by seed."""
    line, *deeper = nets if len(accuracy(nets[0])) > 1 else nets[:1]
    return Question(
        "Do hidden layers help?",
        [reporting.contrast(ACCURACY, line, net, paired=True) for net in deeper],
        better="On these points every net with a hidden layer beats the linear net: the classes "
        "need a boundary that bends.",
        worse="On these points the linear net beats every net with a hidden layer.",
        unclear="On these points no net with a hidden layer clearly beats the linear net.",
        mixed="Not all depths compare alike with the linear net: the table shows which.",
        missing="Nets of every depth learned the same points. One seed can't tell which is better.",
    )


def finding(nets: Sequence[Trained], points: data.Dataset) -> str:
    """The sentence the report opens with."""
    if len(nets) > 1:
        return depth_helps(nets).verdict
    right, labels = accuracy(nets[0]).mean(), points["validation"].y
    if right >= 95:
        return (
            "The net separates the classes: at least 19 of 20 unseen points are on the right side."
        )
    if right > 10 + 100 * np.bincount(labels).max() / len(labels):
        return "The net finds where the classes lie, but puts many unseen points in another class."
    return "The net does little better than a guess: its boundary does not follow the classes."


HOW_TO_READ = """Every net is trained by hand-written backprop. Scores are those after the last
epoch, on points the net learned from and on others it never saw; the loss is cross-entropy. Each
seed has its own points (or, of a file, its own split), first weights and order of examples;
pictures show the first seed. A net is given standardised coordinates; the axes are in the points'
own units. Filled points were trained on, hollow ones validate. The paler a region, the less sure
the net; the bold line is where its likeliest class changes. Of very many points, pictures show
some."""
UNITS_IN_WORDS = """Each map is one unit's activation over the plane. A unit of the first layer
changes along one direction only, having two weights; later units combine earlier ones."""
UNIT = {"loss": "cross-entropy, nats", "accuracy": "share of points right"}


def report(config: Config, run: runs.Run, sets: list[data.Dataset]) -> reporting.Report:
    """The film, the table, then boundaries, curves and units."""
    nets, points, maps, units, drawn = list(run.kept.values()), sets[0], [], [], []
    plane = plots.Plane(window(points), points.splits, points.class_names, points.feature_names)
    for net in nets:
        layer = perceptron(net.facts["hidden"], net.facts["outputs"], config.activation)
        _, tree = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], net.params))
        *between, sure = seen(layer, tree(net.facts["film"][-1]), plane, points)
        title = f"{net.name}: {accuracy(net)[0]:.1f} % of validation"
        maps.append(run.figure(f"boundary-{net.name}", plots.boundary(sure, plane, title)))
    for number, width in enumerate(net.facts["hidden"], start=1):  # of the last net
        shown, values = min(width, UNITS), np.moveaxis(between[2 * number - 1], 2, 0)
        title = f"hidden layer {number}, {config.activation}: units 1 to {shown} of {width}"
        drawing = plots.activations(values[:shown, ::2, ::2], sure[::2, ::2], plane, title)
        units.append(run.figure(f"units-{number}", drawing))

    curves = {}
    for score, unit in UNIT.items():
        both = {"train": net.history[f"train_{score}"], "validation": net.history[f"val_{score}"]}
        curves[score] = {split: values[0] for split, values in both.items()}
        drawing = plots.curves(both, f"{net.name}: {score}", unit, log=score == "loss")
        drawn.append(run.figure(score, drawing))
    frames = [
        (epoch, seen(layer, tree(vector), plane, points)[-1])
        for epoch, vector in zip(filmed(config.epochs), net.facts["film"], strict=True)
    ]
    title = f"{net.name} on {config.points}, seed {config.seed}"
    film = run.figure("film", plots.animate(frames, curves, plane, title), wide=True)

    table = reporting.table_of(MEASURES, nets)
    pieces = [table.html(), paragraph(HOW_TO_READ)]
    if len(nets) > 1:
        pieces += [depth_helps(nets).html(figures(*maps)), heading("Learning"), figures(*drawn)]
    else:
        pieces += [heading("Where it ends"), figures(*maps, *drawn)]
    if units:
        pieces += [heading("What the hidden units see"), paragraph(UNITS_IN_WORDS), figures(*units)]
    title = f"{config.points}: classes in the plane"
    return reporting.Report(title, finding(nets, points), film, pieces, table)


def window(points: data.Dataset) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the pictures: all points, and a margin."""
    x = np.concatenate([split.x for split in points.splits.values()]).astype(np.float64)
    low, high = x.min(0), x.max(0)
    margin = 0.08 * np.where(high > low, high - low, 1)
    left, bottom, right, top = map(float, (*(low - margin), *(high + margin)))
    return left, right, bottom, top


def seen(net: Layer, params: Params, plane: plots.Plane, points: data.Dataset) -> list[np.ndarray]:
    """What each layer gives over the plane (rows, columns, units); the last, probabilities."""
    left, right, bottom, top = plane.extent
    middles = (np.arange(GRID) + 0.5) / GRID
    x1, x2 = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
    y, outputs = scaled(np.stack([x1.ravel(), x2.ravel()], axis=1), points), []
    for layer, own in zip(net.parts, params, strict=True):
        y = layer.apply(own, y)
        outputs.append(np.asarray(y).reshape(GRID, GRID, -1))
    if outputs[-1].shape[2] == 1:  # the logit of class 1; class 0 has 0
        outputs[-1] = np.concatenate([np.zeros_like(outputs[-1]), outputs[-1]], axis=2)
    return [*outputs[:-1], np.asarray(jax.nn.softmax(outputs[-1]))]


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="Decision boundaries, as they bend.")
