"""The lab: 1-, 2- and 3-layer perceptrons on handwritten digits, trained by hand-written backprop.

Each net is trained twice from one key, by hand and by autodiff, and the two trainings are compared
after every epoch. `make lab` runs it; `make lab SEED=3 HIDDEN="64 32"` sets flags.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.special import softmax
from scipy.stats import binomtest

import backhand as bh
from backhand import data, plots, reporting, runs
from backhand.checks import batches
from backhand.layer import Array, Params
from backhand.models import Activation, perceptron
from backhand.reporting import Measure, Question, Report, Table, Trained, contrast, figures
from backhand.training import OPTIMIZERS, Optimizer, Progress

LOSSES = {"softmax_cross_entropy": bh.softmax_cross_entropy, "cross_entropy": bh.cross_entropy}
GRADIENTS = {"manual": bh.manual, "autodiff": bh.autodiff}

# Each gives a number a test picture, not a seed: nets are compared picture by picture.
ERROR = Measure("test error", lambda net: 100 * net.facts["wrong"], "%", "higher", ".1f")
LOSS = Measure("test loss", lambda net: net.facts["losses"], "nats", "higher", ".3f")
CONFIDENCE = Measure("confidence", lambda net: 100 * net.facts["p"].max(1), "%", form=".1f")

SURER = partial(
    Question,
    "What does training past the lowest validation loss do?",
    better="Training past the lowest validation loss makes these nets more confident.",
    worse="Training past the lowest validation loss makes these nets less confident.",
    unclear="Training past the lowest validation loss does not clearly change their confidence.",
    mixed="Training past the lowest validation loss changes how confident some nets are, not all.",
    missing="No net was trained far past its lowest validation loss.",
)
OVERCONFIDENT = (
    "Past the lowest validation loss, training makes these nets more confident, but not clearly "
    "more often right."
)
DEEPER = partial(
    Question,
    "Do deeper nets make fewer mistakes?",
    better="Yes: every layer added lowers the test error.",
    worse="No: every layer added raises the test error.",
    unclear="The test pictures are too few to tell: no net is clearly better than the one before.",
    mixed="Not all layers added change the test error alike: the table shows which.",
)
READ_TABLE = """After the last epoch, with the 95 % interval by Wilson's formula: how the net may do
on new pictures. |Δ| is how far a parameter was, at most, from where training by hand had it."""
READ_EARLY = """These are the nets whose validation loss was lowest in the first half of training;
“early” is the net after that epoch. Confidence is the probability that a net gives its answer. The
test pictures had no part in choosing the epoch."""
READ_DRIFT = """Both trainings start from the same parameters and take the same sums, in different
orders. Rounding makes them differ in the last digit, and training lets that grow, most if a
gradient is little but rounding. Run make lab PRECISION=float64 to see them stay small."""
READ_WEIGHTS = """The first figure is the deepest net's. In the others, a picture is one unit of a
first layer: ink on orange pixels speaks for it, on blue ones against."""
READ_WRONG = "Of the net that is right most often in validation, after its last epoch."


@dataclass(frozen=True)
class Config(runs.PictureConfig):
    """What the lab trains, and how."""

    hidden: tuple[int, ...] = (128, 64)
    """Hidden widths: 128 64 trains a net of 1, of 2 and of 3 layers."""
    activation: Activation = "relu"
    """What stands between linear layers."""
    loss: Literal["softmax_cross_entropy", "cross_entropy"] = "softmax_cross_entropy"
    """On logits; or on probabilities, after a softmax layer, as in the lesson."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 5e-3
    """Step size; try 0.1 to 0.5 with sgd."""
    batch_size: int = 32
    """Examples a step."""
    epochs: int = 60
    """Passes over the training data."""
    gradient: Literal["manual", "autodiff", "both"] = "both"
    """Backprop by hand, by jax.grad, or each in turn from the same start, to compare them."""
    precision: Literal["float32", "float64"] = "float32"
    """float64 keeps rounding from leading the two trainings apart."""


def load(config: Config) -> data.Dataset:
    """The pictures; ValueError if a batch takes more than there are."""
    pictures = data.pictures(config.dataset, config.data_dir, config.seed)
    batches("config", len(pictures["train"].y), config.batch_size)
    return pictures


def train(config: Config, run: runs.Run, pictures: data.Dataset) -> None:
    """Train a net of each depth by each gradient from one start, and keep what came of it."""
    loss, optimizer = LOSSES[config.loss], OPTIMIZERS[config.optimizer](config.learning_rate)
    gradients = list(GRADIENTS) if config.gradient == "both" else [config.gradient]
    progress = Progress(config.epochs, parts=len(gradients) * (len(config.hidden) + 1))
    dtype = config.precision
    with jax.enable_x64(dtype == "float64"):
        splits = {name: data.Split(x.astype(dtype), y) for name, (x, y) in pictures.splits.items()}
        for depth in range(1, len(config.hidden) + 2):
            hidden, classes = config.hidden[: depth - 1], len(pictures.class_names)
            net, first = perceptron(hidden, classes, config.activation), None
            if config.loss == "cross_entropy":
                net = bh.serial(*net.parts, bh.softmax)
            training = bh.Training(net, loss, optimizer)
            start = bh.init_state(training, jax.random.key(config.seed), splits["train"][0])
            for number, gradient in enumerate(gradients):
                name = "1 layer" if depth == 1 else f"{depth} layers"
                name += f", {gradient}" if first else ""
                progress.begin((depth - 1) * len(gradients) + number, name)
                state, history = bh.fit(
                    replace(training, gradient=GRADIENTS[gradient]), splits["train"], state=start,
                    epochs=config.epochs, batch_size=config.batch_size, metrics=[bh.accuracy],
                    validation=splits["validation"], observe=observe,
                    checkpoints=run.checkpoints(name), progress=progress,
                )  # fmt: skip
                log = {key: values for key, values in history.items() if key != "params"}
                if first:
                    log["drift_params"] = np.abs(history["params"] - first["params"]).max(1)
                    log["drift_loss"] = np.abs(history["loss"] - first["loss"])
                run.keep(name, state.params, log, **facts(training, state.params, splits))
                if not first:
                    first, lowest = history, history["val_loss"].argmin()
                    if lowest < config.epochs // 2:  # it was trained far past that
                        early = ravel_pytree(state.params)[1](history["params"][lowest])
                        run.keep(f"{name}, early", early, None, **facts(training, early, splits))


def observe(params: Params) -> dict[str, Array]:
    """What is recorded each epoch: all parameters in one row, and the largest |w| of each layer."""
    largest = [jnp.abs(p.w).max() for p in params if isinstance(p, bh.Linear)]
    return {"params": ravel_pytree(params)[0], "max_w": jnp.stack(largest)}


def facts(training: bh.Training, params: Params, of: Mapping[str, data.Split]) -> dict[str, object]:
    """How often a net is right in training; each test picture's loss, mistake and probabilities."""
    right = bh.evaluate(training, params, *of["train"], [bh.accuracy])["accuracy"]
    x, y = of["test"]
    z = np.asarray(training.net.apply(params, jnp.asarray(x)), np.float64)
    p = z if training.loss is bh.cross_entropy else softmax(z, axis=1)
    losses = -np.log(np.maximum(p[np.arange(len(y)), y], np.finfo(np.float32).tiny))
    return {"right": right, "losses": losses, "wrong": p.argmax(1) != y, "p": p}


def questions(
    kept: Mapping[str, Trained],
) -> tuple[str, Question, Question, list[reporting.Contrast]]:
    """The finding, the two questions, and contrasts to show beside the first."""
    nets = [net for name, net in kept.items() if "," not in name]
    past = [(kept[early], net) for net in nets if (early := f"{net.name}, early") in kept]
    surer = SURER([contrast(CONFIDENCE, *pair, paired=True) for pair in past])
    errors, losses = ([contrast(m, *pair, paired=True) for pair in past] for m in (ERROR, LOSS))
    deeper = DEEPER([contrast(ERROR, *pair, paired=True) for pair in pairwise(nets)])
    sure = surer.verdict == surer.better and not any(error.difference.clear for error in errors)
    return OVERCONFIDENT if sure else surer.verdict, surer, deeper, [*errors, *losses]


def report(config: Config, run: runs.Run, pictures: data.Dataset) -> Report:
    """The finding and its picture, the table, then a section a question."""
    finding, surer, deeper, beside = questions(run.kept)
    nets = [net for name, net in run.kept.items() if "," not in name]
    twins = [net for name, net in run.kept.items() if name.endswith("autodiff")]

    def curves(key: str, title: str, unit: str, wide: bool = False) -> str:
        shown = twins if key.startswith("drift") else nets
        series = {net.name: net.history[key] for net in shown}
        drawing = plots.curves(series, title, unit, log=key != "val_accuracy", wide=wide)
        return run.figure(key, drawing, wide)

    loss = curves("loss", "Training loss", "nats")
    right = curves("val_accuracy", "Validation accuracy", "share right")
    by_layer = {f"layer {i}": w for i, w in enumerate(nets[-1].history["max_w"].T, start=1)}
    weights = [run.figure("max-w", plots.curves(by_layer, "Largest |w|", "|w|"))]
    shape, names = pictures.image_shape, pictures.class_names
    for i, net in enumerate(nets, start=1):
        if shape:  # not in colour
            drawing = plots.weight_pictures(np.asarray(net.params[0].w), shape, net.name)
            weights.append(run.figure(f"weights-{i}", drawing))
    best = max(nets, key=lambda net: net.history["val_accuracy"][-1])
    (x, y), p, title = pictures["test"], best.facts["p"], f"test pictures, {best.name}"
    wrong = [run.figure("confusion", plots.confusion(y, p.argmax(1), names, title))]
    if shape and (drawn := plots.mistakes(x.reshape(-1, *shape), y, p, names)):
        wrong.append(run.figure("mistakes", drawn))
    read, heading, table = reporting.paragraph, reporting.heading, results([*nets, *twins])
    compared = reporting.contrast_table(beside).html()
    pieces = [table.html(), read(READ_TABLE)]
    pieces += [surer.html(compared, read(READ_EARLY), figures(loss, right)), deeper.html()]
    if twins:
        params = curves("drift_params", "Largest |Δ| of a parameter", "|Δ|")
        losses = curves("drift_loss", "|Δ| of the training loss", "|Δ|, nats")
        pieces += [heading("By hand and by autodiff"), read(READ_DRIFT), figures(params, losses)]
    pieces += [heading("How do the weights behave?"), read(READ_WEIGHTS), figures(*weights)]
    pieces += [heading("Which pictures go wrong?"), read(READ_WRONG), figures(*wrong)]
    picture = curves("val_loss", "Validation loss", "nats", wide=True)
    return Report(f"Perceptrons on {config.dataset}", finding, picture, pieces, table)


def results(nets: Sequence[Trained]) -> Table:
    """The share of pictures that each net has right, and how far it is from training by hand."""
    rows = []
    for net in nets:
        shares = (net.facts["right"], net.history["val_accuracy"][-1])
        low, share, high = wilson(~net.facts["wrong"])
        drift = f"{net.history['drift_params'].max():.0e}" if "drift_params" in net.history else ""
        right = (f"{100 * share:.1f}" for share in shares)
        rows.append((net.name, *right, f"{share:.1f} [{low:.1f}, {high:.1f}]", drift))
    header = ("net", "training", "validation", "test", "|Δ|")
    return Table(header, rows, "Pictures classified right, %")


def wilson(right: np.ndarray) -> tuple[float, float, float]:
    """The share that is right, in %, between the ends of its 95 % interval (Wilson, 1927)."""
    low, high = binomtest(int(right.sum()), right.size).proportion_ci(method="wilson")
    return 100 * low, 100 * right.mean(), 100 * high


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="1-, 2- and 3-layer perceptrons.")
