"""The lab: 1-, 2- and 3-layer perceptrons on handwritten digits, trained by hand-written backprop.

Each net is trained twice from one seed, once by our backward passes and once by jax.grad, and the two
trajectories are compared after every epoch. `make lab` runs it; `make lab SEED=3 HIDDEN="64 32"` sets flags.
"""

from collections.abc import Mapping
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
from backhand.storage import parameters as files

LOSSES = {"softmax_cross_entropy": bh.softmax_cross_entropy, "cross_entropy": bh.cross_entropy}
GRADIENTS = {"manual": bh.manual, "autodiff": bh.autodiff}


@dataclass(frozen=True)
class Config:
    """What the lab trains, and how."""

    dataset: str = "digits"
    """Which pictures: digits, scikit-learn's 1,797 of 8×8 pixels; mnist, fashion_mnist or kmnist, 70,000 of 28×28
    through TensorFlow Datasets; or another set of theirs that lies prepared as ArrayRecord."""
    data_dir: Path | None = None
    """Where TensorFlow Datasets' downloads/ are, or go; without it TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    hidden: tuple[int, ...] = (128, 64)
    """Hidden widths. Nets of every depth up to all of them are trained: 128 64 makes 1, 2 and 3 layers."""
    activation: Activation = "relu"
    """What stands between linear layers."""
    loss: Literal["softmax_cross_entropy", "cross_entropy"] = "softmax_cross_entropy"
    """On logits, or the lesson's on probabilities, after a softmax layer."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 5e-3
    """Step size; try 0.1 to 0.5 with sgd."""
    batch_size: int = 32
    """Examples a step."""
    epochs: int = 60
    """Passes over the training data."""
    seed: int = 0
    """Seeds the split of the data, the first weights and the order of examples."""
    gradient: Literal["manual", "autodiff", "both"] = "both"
    """Backprop by hand, by jax.grad, or each in turn from the same start, to compare them."""
    precision: Literal["float32", "float64"] = "float32"
    """In float64 what rounding sets apart, by hand and by autodiff, stays together."""
    resume: Path | None = None
    """The folder of a run that was cut short, to go on in it where it was."""
    out: Path = Path("runs/lab")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for width in self.hidden:
            positive_integer("config", "hidden", width)
        positive_float32("config", "learning_rate", self.learning_rate)
        positive_integer("config", "batch_size", self.batch_size)
        positive_integer("config", "epochs", self.epochs)
        seed_in_range("config", self.seed)


def run(config: Config, run: runs.Run) -> None:
    """Train every depth, print the table, leave the report; interrupted, do so for the depths that are done."""
    digits = runs.refusing(data.pictures, config.dataset, config.data_dir, config.seed)
    count = len(digits["train"].x)
    if config.batch_size > count:
        raise runs.RefusedError(
            f"batch_size should be at most {count}, all training digits, got {config.batch_size}"
        )
    run.data(digits.sha256)
    params, probabilities, results = {}, {}, []
    try:
        with jax.enable_x64(config.precision == "float64"):
            for depth in range(1, len(config.hidden) + 2):
                params[name(depth)], probabilities[name(depth)], result = train(config, run, digits, depth)
                results.append(result)
                run.save_params(params)
                run.save_arrays("test-probabilities.safetensors", probabilities)
                run.write_json("results.json", results)
    finally:
        if results:
            header, *rows = table_of(results)
            runs.print_table(header, rows, "accuracy after the last epoch")
            path = write_report(config, run, digits)
            print(f"parameters  sha256 {run.receipt['params_sha256']}\nreport      {path}")


def network(config: Config, depth: int, classes: int) -> bh.Layer:
    """A perceptron of that many linear layers."""
    body = perceptron(config.hidden[: depth - 1], classes, config.activation)
    return bh.serial(*body.parts, bh.softmax) if config.loss == "cross_entropy" else body


def train(
    config: Config, run: runs.Run, digits: data.Dataset, depth: int
) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """Train one net by each gradient asked for, logging every epoch.

    Returns the parameters and test probabilities of the first training, and the results of all.
    """
    splits = {split: (x.astype(config.precision), y) for split, (x, y) in digits.splits.items()}
    inputs, classes = splits["train"][0].shape[1], len(digits.class_names)
    net, loss = network(config, depth, classes), LOSSES[config.loss]
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    start = bh.init_state(
        jax.random.key(config.seed), net, optimizer, splits["train"][0][: config.batch_size]
    )
    result: dict[str, Any] = {
        "layers": depth,
        "net": perceptron_name(inputs, config.hidden[: depth - 1], classes),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(start.params)),
    }
    if config.gradient == "both":
        x, y = (a[: config.batch_size] for a in splits["train"])
        by_hand, by_autodiff = (
            gradient(net, loss)(start.params, x, y, jax.random.key(config.seed))[1]
            for gradient in GRADIENTS.values()
        )
        result["gradient_difference"] = relative_difference(by_hand, by_autodiff)
    ends: list[Any] = []
    for gradient in GRADIENTS if config.gradient == "both" else [config.gradient]:

        def on_epoch(state: bh.TrainState, scores: dict[str, float], gradient: str = gradient) -> None:
            record = {
                **scores,
                "max_w": [float(jnp.abs(p.w).max()) for p in state.params if isinstance(p, bh.Linear)],
            }
            if config.gradient == "both":
                # In files, so that a run that goes on finds them.
                path = f"checkpoints/epochs/{depth}-{scores['epoch']}.safetensors"
                now = files.named_arrays({"params": state.params, "loss": np.float64(scores["loss"])})
                if gradient == "manual":
                    run.save_arrays(path, now)
                else:
                    record |= drift_between(run.arrays(path), now)
            run.log(layers=depth, gradient=gradient, **record)

        state, history = bh.fit(
            start,
            bh.make_step(GRADIENTS[gradient](net, loss), optimizer),
            splits["train"],
            net=net,
            loss=loss,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=splits["validation"],
            metrics=[bh.accuracy],
            on_epoch=on_epoch,
            checkpoints=run.checkpoints(f"{name(depth)}, {gradient}"),
        )
        ends.append(state.params)
        result[gradient] = {
            "train": history["accuracy"][-1],
            "validation": history["val_accuracy"][-1],
            "test": bh.evaluate(net, loss, state.params, *splits["test"], [bh.accuracy])["accuracy"],
        }
    if config.gradient == "both":
        of_second = [r for r in run.metrics() if (r["layers"], r["gradient"]) == (depth, "autodiff")]
        result |= {key: max(r[key] for r in of_second) for key in ("drift_params", "drift_loss")}
    prediction = net.apply(ends[0], jnp.asarray(splits["test"][0]))
    return (
        ends[0],
        np.asarray(prediction if config.loss == "cross_entropy" else jax.nn.softmax(prediction)),
        result,
    )


def write_report(config: Config, run: runs.Run, digits: data.Dataset) -> Path:
    """Draw the figures and write the report, from the run's files and the data set."""
    results = run.read_json("results.json")
    first = first_gradient(results)
    best = max(results, key=lambda result: result[first]["validation"])
    learning, growth, drift = curves(run, results)
    header, *rows = table_of(results)
    train, validation, test = (len(split.y) for split in digits.splits.values())
    pieces = [
        report.paragraph(conclusion(results, best, test), lead=True),
        report.table(header, rows),
        report.paragraph(
            f"Accuracies, after {config.epochs} epochs on {train:,} digits. {validation} more were kept for "
            f"validation, and the {test} test digits scored once, at the end."
        ),
        report.heading("Learning"),
        report.figures(*learning),
        report.heading("How the weights grow"),
        report.figures(*growth),
        *first_layers(run, results, digits),
        report.heading("What goes wrong"),
        report.paragraph(
            f"The net with the best validation accuracy, {name(best['layers'])}, on the test digits:"
        ),
        report.figures(*mistakes(run, best, digits)),
        *run.again(),
    ]
    if drift:
        pieces[5:5] = [
            report.heading("By hand and by autodiff"),
            report.paragraph(drift_in_words(config, results)),
            report.figures(*drift),
        ]
    return run.write("report.html", report.page(f"Perceptrons on {config.dataset}", *pieces))


def curves(run: runs.Run, results: list[dict[str, Any]]) -> tuple[list[str], list[str], list[str]]:
    """What changed from epoch to epoch: learning, the size of the weights, the drift between the two trainings."""
    metrics = run.metrics()

    def history(depth: int, gradient: str) -> dict[str, list[Any]]:
        records = [r for r in metrics if (r["layers"], r["gradient"]) == (depth, gradient)]
        return {key: [record[key] for record in records] for key in records[0]}

    losses, accuracies, growth, drift = [], [], [], []
    for depth in (result["layers"] for result in results):
        h = history(depth, first_gradient(results))
        series = {"train": h["loss"], "validation": h["val_loss"]}
        drawing = plots.curves(series, f"{name(depth)}: loss", "cross-entropy, nats", log=True)
        losses.append(run.figure(f"loss-{depth}", *drawing))
        series = {"train": h["accuracy"], "validation": h["val_accuracy"]}
        drawing = plots.curves(series, f"{name(depth)}: accuracy", "share of digits right")
        accuracies.append(run.figure(f"accuracy-{depth}", *drawing))
        series = {
            f"layer {i}": list(values) for i, values in enumerate(zip(*h["max_w"], strict=True), start=1)
        }
        growth.append(
            run.figure(f"max-w-{depth}", *plots.curves(series, f"{name(depth)}: max |w|", "largest |w|"))
        )
        if "drift_params" in results[0]:
            h = history(depth, "autodiff")
            series = {"max |Δparams|": h["drift_params"], "|Δloss|": h["drift_loss"]}
            drawing = plots.curves(series, f"{name(depth)}: drift", "absolute difference", log=True)
            drift.append(run.figure(f"drift-{depth}", *drawing))
    return losses + accuracies, growth, drift


def first_layers(run: runs.Run, results: list[dict[str, Any]], digits: data.Dataset) -> list[str]:
    """A report's section on each net's first weights, as pictures."""
    if digits.image_shape is None:  # in colour
        return []
    params = run.arrays("params.safetensors")
    pictures = []
    for depth in (result["layers"] for result in results):
        w = params[f"{name(depth)}.0.w"]
        units = "one a class" if depth == 1 else f"{min(32, w.shape[1])} of {w.shape[1]} units"
        drawing = plots.weight_pictures(w, digits.image_shape, f"{name(depth)}: {units}", most=32)
        pictures.append(run.figure(f"weights-{depth}", *drawing))
    return [
        report.heading("What the first layer looks for"),
        report.paragraph(
            "Each picture is one unit's weights: ink on red pixels speaks for it, on blue ones against."
        ),
        report.figures(*pictures),
    ]


def mistakes(run: runs.Run, best: dict[str, Any], digits: data.Dataset) -> list[str]:
    """Which test digits the best net takes for which, and the mistakes it is surest of."""
    p, (x, y) = run.arrays("test-probabilities.safetensors")[name(best["layers"])], digits["test"]
    drawing = plots.confusion(y, p.argmax(1), digits.class_names, "test digits")
    pictures = [run.figure("confusion", *drawing)]
    if digits.image_shape is not None:
        surest = plots.mistakes(x.reshape(-1, *digits.image_shape), y, p, digits.class_names)
        pictures += [run.figure("mistakes", *surest)] if surest else []
    return pictures


def conclusion(results: list[dict[str, Any]], best: dict[str, Any], count: int) -> str:
    """What came out, in a sentence or two."""
    first = first_gradient(results)
    how = "backprop written out by hand" if first == "manual" else "jax.grad"
    scores = ", ".join(f"{r[first]['test']:.1%} with {name(r['layers'])}" for r in results)
    wrong = round((1 - best[first]["test"]) * count)
    return (
        f"Trained by {how}, {scores} of the test digits are right. The net best in validation, "
        f"{name(best['layers'])}, gets {wrong} of {count} wrong."
    )


def drift_in_words(config: Config, results: list[dict[str, Any]]) -> str:
    """How far the two trainings went apart, and why."""
    worst = max(result["drift_params"] for result in results)
    if worst == 0:
        return "Each net was trained twice from one seed, and both went through the same parameters, bit for bit."
    moved = sum(r["manual"]["test"] != r["autodiff"]["test"] for r in results)
    again = " Run make lab PRECISION=float64 to see it stay small." if config.precision == "float32" else ""
    return (
        f"Each net was trained twice from one seed. At the start, on one batch, the two gradients differ by at most "
        f"{max(r['gradient_difference'] for r in results):.1g} of their length: they are the same sums, taken in "
        f"different orders and rounded to {config.precision}. Training lets such differences grow, the more so where "
        f"the loss is nearly 0 and a gradient is little but rounding. On the way a parameter differed by "
        f"{worst:.2g} at most; in the end, so did {moved or 'none'} of the {len(results)} test accuracies.{again}"
    )


def table_of(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results."""
    first = first_gradient(results)
    both = all(gradient in results[0] for gradient in GRADIENTS)
    table = [
        (
            "net",
            "params",
            "train",
            "valid.",
            "test",
            *(("autodiff", "|Δparams|", "|Δloss|") if both else ()),
        )
    ]
    for r in results:
        scores = [f"{r[first][split]:.2%}" for split in ("train", "validation", "test")]
        drift = (
            [f"{r['autodiff']['test']:.2%}", f"{r['drift_params']:.1e}", f"{r['drift_loss']:.1e}"]
            if both
            else []
        )
        table.append((r["net"], f"{r['parameters']:,}", *scores, *drift))
    return table


def first_gradient(results: list[dict[str, Any]]) -> str:
    """By which gradient the nets shown were trained: by hand, if that was asked for."""
    return "manual" if "manual" in results[0] else "autodiff"


def name(depth: int) -> str:
    """What a net of that depth is called."""
    return "1 layer" if depth == 1 else f"{depth} layers"


def drift_between(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far apart two trainings are after an epoch, by the parameters and the loss of each."""
    apart = {key: float(np.abs(first[key] - second[key]).max()) for key in first}
    return {"drift_loss": apart.pop("loss"), "drift_params": max(apart.values())}


def relative_difference(a: Any, b: Any) -> float:
    """‖a − b‖/‖b‖ over two trees of arrays."""
    pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return float(np.sqrt(sum(((x - y) ** 2).sum() for x, y in pairs) / sum((y**2).sum() for _, y in pairs)))


if __name__ == "__main__":
    runs.main(Config, run, "1-, 2- and 3-layer perceptrons on handwritten digits, by hand and by autodiff.")
