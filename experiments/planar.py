"""Classes in the plane: a net's decision boundary, bending as it learns, by hand-written backprop.

`make planar` trains a perceptron from several seeds at once and films the boundary of the first;
`make planar DATASET=xor COMPARE=true` puts nets of every depth side by side, from a line up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_float32, positive_integer, seed_in_range
from backhand.models.perceptron import (
    OPTIMIZERS,
    Activation,
    Optimizer,
    perceptron,
    perceptron_name,
)
from backhand.reporting import page as report
from backhand.reporting.statistics import mean_sd
from backhand.storage import parameters as files
from backhand.training.progress import Progress
from backhand.training.seeds import SeedHistory, fit_seeds, init_seeds

DATASETS: dict[str, Callable[..., data.Dataset]] = {
    name: getattr(data, name)
    for name in ("lesson", "gauss", "circle", "xor", "spiral", "moons", "blobs", "spirals")
}
DEFAULT = "spiral"
GRID = 160  # points of a picture's grid, along each axis
FRAMES = 40
UNITS = 16  # of a layer, that are drawn
UNITS_IN_WORDS = (
    "Each map is one unit's activation over the window above. In the first layer each changes along one direction "
    "only, as its weights are two numbers; layers after it combine those before."
)


@dataclass(frozen=True)
class Config:
    """What is trained, on which points, and how."""

    dataset: Literal["lesson", "gauss", "circle", "xor", "spiral", "moons", "blobs", "spirals"] | None = None
    """The points, from backhand.data: the spiral, if nothing else is asked for. The lesson's are two classes with
    a fifth of the labels wrong."""
    csv: Path | None = None
    """Your own points instead: columns x1, x2 and label by name, or any three in that order, with names or
    without. A label is any word or number."""
    classes: int | None = None
    """How many classes blobs (5) and spirals (3) have; the others have two."""
    size: int | None = None
    """Points in all: 500, or 100 of the lesson's. 80 % train, 20 % validate."""
    noise: float | None = None
    """Standard deviation of the points about the set's shape, in units of the plane, whose shapes are about
    2 across; of the lesson's set the share of labels flipped. Each set has a default of its own."""
    hidden: tuple[int, ...] = (16, 16)
    """Hidden widths: 8,8 is two layers of eight units; without a value the net is linear."""
    activation: Activation = "silu"
    """What stands between linear layers."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 0.02
    """Step size."""
    batch_size: int = 32
    """Examples a step; all of them, where there are fewer."""
    epochs: int = 200
    """Passes over the training points."""
    seeds: int = 5
    """How many seeds are trained together, for mean and standard deviation; the pictures are of the first."""
    seed: int = 0
    """The first seed. A seed draws the points, their split, the first weights and the order of examples."""
    compare: bool = False
    """Train nets of every depth up to the hidden widths, from none, on the same points."""
    resume: Path | None = None
    """The folder of a run that was cut short, to go on in it where it was."""
    out: Path = Path("runs/planar")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for field in ("dataset", "classes", "size", "noise"):
            if self.csv is not None and getattr(self, field) is not None:
                raise ValueError(
                    f"config: {field} is for points that are drawn, not for those of {self.csv}: leave it out"
                )
        if self.classes is not None and self.dataset not in ("blobs", "spirals"):
            raise ValueError(
                f"config: classes is for blobs and spirals, got {self.classes} with {self.dataset or DEFAULT}"
            )
        for width in self.hidden:
            positive_integer("config", "hidden", width)
        if self.compare and not self.hidden:
            raise ValueError(
                "config: compare needs a hidden layer to compare with none, such as --hidden 16, got none"
            )
        positive_float32("config", "learning_rate", self.learning_rate)
        for field in ("batch_size", "epochs", "seeds"):
            positive_integer("config", field, getattr(self, field))
        seed_in_range("config", self.seed, self.seeds)


def run(config: Config, run: runs.Run) -> None:
    """Train, print the table, leave the report; interrupted, do so for what has been trained until then."""
    sets = [draw(config, config.seed + i) for i in range(config.seeds)]
    run.data([points.sha256 for points in sets])
    depths = range(len(config.hidden) + 1) if config.compare else [len(config.hidden)]
    results: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    progress = Progress(config.epochs, parts=len(depths))
    try:
        for depth in depths:
            train(config, run, config.hidden[:depth], sets, params, results, progress)
    finally:
        progress.clear()
        if results:
            header, *rows = table_of(results)
            runs.print_table(header, rows, f"{called(config)}, {over(config)}")
            path = write_report(config, run, sets[0])
            print(f"parameters  sha256 {run.receipt['params_sha256']}\nreport      {path}")


def draw(config: Config, seed: int) -> data.Dataset:
    """The points that a seed trains on."""
    asked = {name: getattr(config, name) for name in ("classes", "size", "noise")}
    try:
        if config.csv is not None:
            return data.read_points(config.csv, seed)
        return DATASETS[config.dataset or DEFAULT](
            seed=seed, **{k: v for k, v in asked.items() if v is not None}
        )
    except OSError as error:
        raise runs.RefusedError(f"--csv {config.csv} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise runs.RefusedError(str(error)) from error


def network(config: Config, hidden: tuple[int, ...], classes: int) -> tuple[bh.Layer, bh.Loss]:
    """The perceptron and its loss: one logit for two classes, else one a class."""
    if classes == 2:
        return perceptron(hidden, 1, config.activation), bh.logistic
    return perceptron(hidden, classes, config.activation), bh.softmax_cross_entropy


def standardised(x: np.ndarray, points: data.Dataset) -> np.ndarray:
    """What a net is given: coordinates less the mean of the training points, in their standard deviations."""
    train = points["train"].x.astype(np.float64)
    deviation = train.std(0)
    return np.asarray((x - train.mean(0)) / np.where(deviation > 0, deviation, 1), np.float32)


def train(
    config: Config,
    run: runs.Run,
    hidden: tuple[int, ...],
    sets: list[data.Dataset],
    params: dict[str, Any],
    results: list[dict[str, Any]],
    progress: Progress,
) -> None:
    """Train one net from every seed, logging every epoch; put its parameters by `params`, its scores by `results`.

    The first seed's parameters at some epochs, the denser the earlier, are kept for the film. Interrupted, it
    keeps what there is.
    """
    classes = len(sets[0].class_names)
    net, loss = network(config, hidden, classes)
    name = perceptron_name(2, hidden, 1 if classes == 2 else classes)
    progress.begin(len(results), name)
    splits = {
        split: (
            np.stack([standardised(points[split].x, points) for points in sets]),
            np.stack([points[split].y for points in sets]),
        )
        for split in sets[0].splits
    }
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    batch_size = min(config.batch_size, splits["train"][0].shape[1])
    seeds = range(config.seed, config.seed + config.seeds)
    start = init_seeds(seeds, net, optimizer, splits["train"][0][0, :batch_size])
    wanted = {round(config.epochs * (i / (FRAMES - 1)) ** 2) for i in range(FRAMES)}
    frames: dict[str, np.ndarray] = {}
    latest: tuple[int, Any, dict[str, Any]] = (0, start, {})

    def on_chunk(done: int, states: bh.TrainState, history: SeedHistory) -> None:
        nonlocal latest
        scores = last(history)
        if done:
            run.log(net=name, epoch=done, **scores)
        latest = done, states, scores  # and no sooner: wherever an interruption falls, they are logged
        if done in wanted:
            frames.update(files.named_arrays({done: first_seed(states.params)}))

    try:
        states, history = fit_seeds(
            start,
            bh.make_step(bh.manual(net, loss), optimizer),
            splits,
            net=net,
            loss=loss,
            epochs=config.epochs,
            batch_size=batch_size,
            metrics=[bh.accuracy],
            progress=progress,
            on_chunk=on_chunk,
            chunks=config.epochs,  # one epoch each
            checkpoints=run.checkpoints(name),
            kept=frames,
        )
        latest = config.epochs, states, last(history)  # of a run that goes on, it may have been done before
    finally:
        done, states, scores = latest
        if done:
            frames |= files.named_arrays({done: first_seed(states.params)})
            params[name] = states.params
            count = sum(leaf[0].size for leaf in jax.tree.leaves(states.params))
            results.append({"net": name, "hidden": hidden, "parameters": count, "epochs": done, **scores})
            run.save_params(params)
            run.save_arrays("frames.safetensors", frames)
            run.write_json("results.json", results)


def last(history: SeedHistory) -> dict[str, Any]:
    """Each split's scores after the last epoch, a number a seed."""
    return {
        split: {metric: values[-1].tolist() for metric, values in scored.items()}
        for split, scored in history.items()
    }


def first_seed(params: Any) -> Any:
    """The parameters of the first of the seeds that were trained together."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), params)


def write_report(config: Config, run: runs.Run, points: data.Dataset) -> Path:
    """Draw the figures and write the report, from the run's files and the first seed's points."""
    results = run.read_json("results.json")
    plane = plots.Plane(window(points), points.splits, points.class_names, points.feature_names)
    header, *rows = table_of(results)
    last = results[-1]
    maps, units = pictures(config, run, results, points, plane)
    pieces = [
        report.paragraph(conclusion(config, results), lead=True),
        report.table(header, rows),
        report.paragraph(in_words(config, results, points)),
        report.heading("The boundary bends"),
        film(config, run, last, points, plane),
        report.heading("Nets side by side" if len(results) > 1 else "Where it ends"),
        *([report.paragraph(comparison(results))] if len(results) > 1 else []),
        report.figures(*maps, *(curves(run, last) if len(results) == 1 else [])),
        *([report.heading("Learning"), report.figures(*curves(run, last))] if len(results) > 1 else []),
        *([report.heading("What the hidden units see"), report.paragraph(UNITS_IN_WORDS)] if units else []),
        *([report.figures(*units)] if units else []),
        *run.again(),
    ]
    return run.write("report.html", report.page(f"{called(config)}: classes in the plane", *pieces))


def window(points: data.Dataset) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the pictures: all points, and a margin."""
    x = np.concatenate([split.x for split in points.splits.values()]).astype(np.float64)
    low, high = x.min(0), x.max(0)
    margin = 0.08 * np.where(high > low, high - low, 1)
    (left, bottom), (right, top) = low - margin, high + margin
    return float(left), float(right), float(bottom), float(top)


def grid(points: data.Dataset) -> np.ndarray:
    """The middles of the window's grid cells, row by row from the bottom, as a net is given them."""
    left, right, bottom, top = window(points)
    middles = (np.arange(GRID) + 0.5) / GRID
    x1, x2 = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
    return standardised(np.stack([x1.ravel(), x2.ravel()], axis=1), points)


def pictures(
    config: Config, run: runs.Run, results: list[dict[str, Any]], points: data.Dataset, plane: plots.Plane
) -> tuple[list[str], list[str]]:
    """Each net's boundary, and what the units of the last one's hidden layers give over the plane."""
    params, maps, units = run.arrays("params.safetensors"), [], []
    for result in results:
        net, tree = trained(config, result, points, params, f"{result['net']}.")
        outputs = layer_outputs(net, first_seed(tree), grid(points))
        sureness = probabilities(outputs[-1])
        right = result["validation"]["accuracy"][0]
        drawing = plots.boundary(sureness, plane, f"{result['net']}: {right:.1%} of validation")
        maps.append(run.figure(f"boundary-{len(result['hidden'])}", *drawing))
    for layer, width in enumerate(results[-1]["hidden"]):
        values = outputs[2 * layer + 1][:, :UNITS].T.reshape(-1, GRID, GRID)[:, ::2, ::2]
        shown = f"{UNITS} of {width} units" if width > UNITS else f"{width} unit{'s' * (width > 1)}"
        title = f"hidden layer {layer + 1}: {shown}, {config.activation}"
        drawing = plots.activations(values, sureness[::2, ::2], plane, title)
        units.append(run.figure(f"units-{layer + 1}", *drawing))
    return maps, units


def film(
    config: Config, run: runs.Run, result: dict[str, Any], points: data.Dataset, plane: plots.Plane
) -> str:
    """The boundary of the first seed through training, and its curves: figures/boundary.gif, and its end as PNG."""
    arrays, x = run.arrays("frames.safetensors"), grid(points)
    frames = []
    for epoch in sorted({int(name.split(".")[0]) for name in arrays}):
        net, tree = trained(config, result, points, arrays, f"{epoch}.")
        frames.append((epoch, probabilities(layer_outputs(net, tree, x)[-1])))
    records = history(run, result)
    series = {
        metric: {split: [record[split][metric][0] for record in records] for split in points.splits}
        for metric in ("loss", "accuracy")
    }
    title = f"{result['net']} on {called(config)}, seed {config.seed}"
    animation = plots.animate(frames, series, plane, title)
    run.write("figures/boundary.gif", animation.light)
    run.write("figures/boundary.png", animation.light_still)
    return report.animation(*animation)


def trained(
    config: Config, result: dict[str, Any], points: data.Dataset, arrays: dict[str, np.ndarray], prefix: str
) -> tuple[bh.Layer, Any]:
    """A net, and its parameters from the arrays of a file."""
    net, _ = network(config, tuple(result["hidden"]), len(points.class_names))
    form = jax.eval_shape(net.init, jax.random.key(0), points["train"].x.astype(np.float32))
    return net, files.arrays_as(form, arrays, prefix)


def layer_outputs(net: bh.Layer, params: Any, x: np.ndarray) -> list[np.ndarray]:
    """What each layer of a perceptron gives: the activations of hidden layer i, from 0, stand at 2i + 1."""
    outputs, y = [], jnp.asarray(x)
    for layer, own in zip(net.parts, params, strict=True):
        y = layer.apply(own, y)
        outputs.append(np.asarray(y))
    return outputs


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Of each class, over the grid (rows, columns, classes), from the logits of its points."""
    if logits.shape[1] == 1:  # of class 1, against 0 for class 0
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return np.asarray(jax.nn.softmax(logits)).reshape(GRID, GRID, -1)


def history(run: runs.Run, result: dict[str, Any]) -> list[dict[str, Any]]:
    """A net's records, one an epoch, as far as its parameters are kept."""
    return [r for r in run.metrics() if r["net"] == result["net"] and r["epoch"] <= result["epochs"]]


def curves(run: runs.Run, result: dict[str, Any]) -> list[str]:
    """Loss and accuracy by epoch, the mean over the seeds."""
    records, drawn = history(run, result), []
    count = len(records[0]["train"]["loss"])
    of_seeds = f", mean of {count} seeds" if count > 1 else ""
    for metric, unit in {"loss": "cross-entropy, nats", "accuracy": "share of points right"}.items():
        series = {
            split: [float(np.mean(record[split][metric])) for record in records]
            for split in ("train", "validation")
        }
        title = f"{result['net']}: {metric}{of_seeds}"
        drawn.append(run.figure(metric, *plots.curves(series, title, unit, log=metric == "loss")))
    return drawn


def conclusion(config: Config, results: list[dict[str, Any]]) -> str:
    """What came out, in a sentence or two."""
    last = results[-1]
    nets = len(config.hidden) + 1 if config.compare else 1
    stopped = ""
    if len(results) < nets or last["epochs"] < config.epochs:
        which = f"{len(results)} of {nets} nets were trained, the last" if nets > 1 else "the net was trained"
        stopped = f" Training ended early: {which} for {last['epochs']} of {config.epochs} epochs."
    return (
        f"Trained by backprop written out by hand, the {kind(last)} puts {percent(last, 'validation')} of the "
        f"validation points in their class, and {percent(last, 'train')} of those it learned from ({over(config)})."
        f"{stopped}"
    )


def in_words(config: Config, results: list[dict[str, Any]], points: data.Dataset) -> str:
    """What the table and the pictures show."""
    train, validation = (len(points[split].y) for split in ("train", "validation"))
    own = (
        "All seeds share the file; each has its own split"
        if config.csv
        else "Each seed has its own points, split"
    )
    shown = {split: min(len(points[split].y), most) for split, most in plots.MOST_POINTS.items()}
    fewer = (
        f" Pictures show {shown['train']} training and {shown['validation']} validation points of them."
        if (shown["train"], shown["validation"]) != (train, validation)
        else ""
    )
    return (
        f"Scores of the last epoch, {results[-1]['epochs']}, on {train:,} points, and {validation:,} to validate. "
        f"{own}, first weights and order of examples; pictures are of seed {config.seed}. A net is "
        f"given the coordinates standardised, less the training points' mean and in their standard deviations; the "
        f"pictures' axes are in the points' own units. Filled points were trained on, hollow ones validate; the "
        f"paler a region, the less sure the net, and the bold line is where its most likely class changes.{fewer}"
    )


def comparison(results: list[dict[str, Any]]) -> str:
    """What depth brought, seed by seed, on the same points."""
    line, last = results[0], results[-1]
    gain = 100 * (np.array(last["validation"]["accuracy"]) - line["validation"]["accuracy"])
    scores = ", ".join(f"the {kind(r)} {percent(r, 'validation')}" for r in results)
    return (
        f"On the same points, validation accuracies are: {scores}. Seed by seed, the {kind(last)}'s is "
        f"{mean_sd(gain, '+.1f')} percentage points from the {kind(line)}'s, and the higher in {(gain > 0).sum()} of "
        f"{len(gain)}."
    )


def table_of(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results."""
    table: list[tuple[str, ...]] = [
        ("net", "params", "train acc.", "valid. acc.", "train loss", "valid. loss")
    ]
    for r in results:
        accuracies = [percent(r, split) for split in ("train", "validation")]
        losses = [mean_sd(r[split]["loss"], ".2g") for split in ("train", "validation")]
        table.append((r["net"], f"{r['parameters']:,}", *accuracies, *losses))
    return table


def percent(result: dict[str, Any], split: str) -> str:
    """A net's accuracy in percent, mean ± sd over the seeds."""
    return f"{mean_sd(100 * np.array(result[split]['accuracy']), '.1f')}\N{NO-BREAK SPACE}%"


def over(config: Config) -> str:
    """Of what the scores are the mean."""
    return f"mean ± sd over {config.seeds} seeds" if config.seeds > 1 else "one seed"


def kind(result: dict[str, Any]) -> str:
    """What a net is called in a sentence."""
    return f"{result['net']} perceptron" if result["hidden"] else f"linear net {result['net']}"


def called(config: Config) -> str:
    """The name of the points."""
    return config.csv.name if config.csv else config.dataset or DEFAULT


if __name__ == "__main__":
    runs.main(
        Config,
        run,
        "Classes in the plane: the decision boundary of a net, through training by hand-written backprop.",
    )
