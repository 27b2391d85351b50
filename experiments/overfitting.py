"""Overfitting: capacity against data, on noisy points of a curve that is known.

Nets of several widths and depths are trained on samples of several sizes, each drawn many times.
All samples of all sizes train at once. A small sample is repeated until it fills as many rows as
the largest: its mean loss stays as it is, and every net takes the same number of steps.

`make overfitting` runs it; `make overfitting NOISE=0.2 WIDTHS="2 64"` sets flags.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import checks, plots, reporting, runs
from backhand.data import Dataset, Split
from backhand.layer import Array, Params
from backhand.models import Activation, perceptron, perceptron_name
from backhand.reporting import Contrast, Measure, Question, Trained, contrast, table_of
from backhand.training import OPTIMIZERS, Optimizer, Progress

# Middles of equal pieces of [−π, π], where x is uniform: a mean over them is one over x.
GRID = np.float32(np.pi) * (np.arange(-200, 200, 2, dtype=np.float32) + 1) / 200


def truth(x: np.ndarray) -> np.ndarray:
    """The curve that samples are noisy points of: sin 2x, of mean 0 and mean square ½."""
    return np.asarray(np.sin(2 * x))


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    """Which nets, on how much data."""

    widths: tuple[int, ...] = (1, 2, 8, 32)
    """Units in each hidden layer."""
    depths: tuple[int, ...] = (1, 2)
    """Numbers of hidden layers. Every width is trained at every depth."""
    sizes: tuple[int, ...] = (20, 80, 320)
    """Training points. Each size divides the largest."""
    resamples: int = 12
    """Training sets drawn for each size, each with first weights of its own."""
    noise: float = 0.5
    """Standard deviation σ of the noise on y; the curve itself goes from −1 to 1."""
    held_out: int = 320
    """Validation points for each training set."""
    activation: Activation = "tanh"
    """The activation after each hidden layer."""
    optimizer: Optimizer = "adam"
    """One of optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 1e-2
    """Step size; try 0.1 with sgd."""
    batch_size: int = 20
    """Examples a step."""
    epochs: int = 300
    """Passes over as many rows as the largest sample has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("widths", "depths", "sizes"):
            checks.different("config", field, getattr(self, field))
            for value in getattr(self, field):
                checks.positive_integer("config", field, value)
        largest = max(self.sizes)
        for size in self.sizes:
            if largest % size:
                raise ValueError(f"config: sizes should divide the largest, {largest}, got {size}")
        checks.positive_integer("config", "resamples", self.resamples, least=3)
        checks.positive_float32("config", "noise", self.noise)
        checks.positive_integer("config", "held_out", self.held_out)
        checks.batches("config", largest, self.batch_size)


def load(config: Config) -> Dataset:
    """All samples of the largest size, (resamples, points, 1); smaller ones are their starts."""
    rng, largest = np.random.default_rng(config.seed), max(config.sizes)
    x = rng.uniform(-np.pi, np.pi, (config.resamples, largest + config.held_out, 1))
    y = truth(x) + config.noise * rng.normal(size=x.shape)
    pair = x.astype(np.float32), y.astype(np.float32)
    train, validation = (Split(*(a[:, part] for a in pair)) for part in np.s_[:largest, largest:])
    return Dataset("sin 2x with noise", {"train": train, "validation": validation})


def train(config: Config, run: runs.Run, data: Dataset) -> None:
    """Train each net on all samples of all sizes at once; keep the nets of each size."""
    largest, shapes = max(config.sizes), [(w,) * d for d in config.depths for w in config.widths]
    x, y = (
        jnp.concatenate([jnp.tile(a[:, :size], (1, largest // size, 1)) for size in config.sizes])
        for a in data["train"]
    )
    xv, yv = (jnp.tile(a, (len(config.sizes), 1, 1)) for a in data["validation"])
    seeds = np.random.default_rng(config.seed).integers(2**32, size=config.resamples).astype("u4")
    progress, optimizer = Progress(config.epochs, parts=len(shapes)), OPTIMIZERS[config.optimizer]
    for part, hidden in enumerate(shapes):
        name, net = perceptron_name(1, hidden, 1), perceptron(hidden, 1, config.activation)
        progress.begin(part, name)

        def observe(params: Params, net: bh.Layer = net) -> dict[str, Array]:
            """The loss expected on new points, as the true curve is known."""
            off = net.apply(params, GRID[:, None])[:, 0] - truth(GRID)
            return {"test_loss": (off**2).mean() + config.noise**2}

        state, history = bh.fit(
            bh.Training(net, bh.squared_error, optimizer(config.learning_rate)),
            (x, y),
            key=jax.vmap(jax.random.key)(np.tile(seeds, len(config.sizes))),
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=(xv, yv),
            score_train=True,
            observe=observe,
            data_per_key=True,
            checkpoints=run.checkpoints(name),
            progress=progress,
        )
        for i, size in enumerate(config.sizes):
            rows = np.s_[i * config.resamples : (i + 1) * config.resamples]
            params, past = jax.tree.map(lambda a, rows=rows: a[rows], (state.params, history))
            weights = sum(leaf[0].size for leaf in jax.tree.leaves(params))
            facts = {"points": size, "depth": len(hidden), "width": hidden[0], "weights": weights}
            fit = np.asarray(jax.vmap(net.apply, (0, None))(params, GRID[:, None]))[..., 0]
            run.keep(f"{name}, {size}", params, past, fit=fit, **facts, **scores(past))


def scores(past: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Losses (nets,) at the end; after which epoch validation is lowest, and the test loss then."""
    lowest = past["val_loss"].argmin(1)
    stopped = np.take_along_axis(past["test_loss"], lowest[:, None], 1)[:, 0]
    ends = {split: past[f"{split}_loss"][:, -1] for split in ("train", "val", "test")}
    return ends | {"turn": lowest + 1, "stopped": stopped}


def terms(net: Trained) -> tuple[np.ndarray, np.ndarray]:
    """What each fit adds to bias² and to variance; the means over training sets estimate them.

    E (ŷ − y)² = (E ŷ − f)² + Var ŷ + σ²: bias², variance and noise (Geman, Bienenstock and Doursat,
    1992). E ŷ is the mean of all fits.
    """
    fit: np.ndarray = net.facts["fit"].astype(np.float64)
    off, apart = (((fit - middle) ** 2).mean(1) for middle in (truth(GRID), fit.mean(0)))
    variance = apart * len(fit) / (len(fit) - 1)  # unbiased, and so is what is left of off
    return off - variance, variance


# Measures: a number a training set.
TRAIN = Measure("training loss", lambda net: net.facts["train"], worse="higher", form=".3f")
VALIDATION = Measure("validation loss", lambda net: net.facts["val"], worse="higher", form=".3f")
TEST = Measure("test loss", lambda net: net.facts["test"], worse="higher", form=".3f")
OVER = Measure("overfit by", lambda n: TEST.of(n) - n.facts["stopped"], worse="higher", form=".3f")
TURN = Measure("validation turns", lambda net: net.facts["turn"], unit="epoch", form=".0f")
BIAS = Measure("bias²", lambda net: terms(net)[0], worse="higher", form=".3f")
VARIANCE = Measure("variance", lambda net: terms(net)[1], worse="higher", form=".3f")


def stopped_early(net: Trained) -> Trained:
    """The net as it was when its validation loss was lowest."""
    return net._replace(name="stopped early", facts={**net.facts, "test": net.facts["stopped"]})


def questions(small: Sequence[Trained], large: Sequence[Trained]) -> tuple[Question, ...]:
    """What is asked of the smallest and the largest net, given for each size of sample."""

    def compared(measure: Measure, *pairs: tuple[Trained, Trained]) -> list[Contrast]:
        return [contrast(measure, a, b, paired=True) for a, b in pairs if a is not b]

    stop = Question(
        "Does the largest net overfit?",
        compared(TEST, *((net, stopped_early(net)) for net in large)),
        better="The largest net overfits: stopped early, it does better on new points.",
        worse="The largest net does not overfit: stopped early, it does worse on new points.",
        unclear="The largest net does not clearly overfit: to stop early makes no difference.",
        mixed="Whether the largest net overfits depends on the size of the sample.",
    )
    more = Question(
        "Do more data help?",
        compared(OVER, *((large[0], net) for net in large)),
        better="The largest net overfits larger samples less than the smallest one.",
        worse="The largest net overfits larger samples more than the smallest one.",
        unclear="The largest net overfits larger samples about as much as the smallest one.",
        mixed="Not all larger samples compare alike with the smallest: the table shows which.",
        missing="There is one size of sample, and nothing to compare.",
    )
    under = Question(
        "Does the smallest net underfit?",
        compared(TEST, *zip(large, small, strict=True)),
        better="The smallest net does not underfit: it does better than the largest.",
        worse="The smallest net underfits: even the largest does better on new points.",
        unclear="The smallest net does not clearly underfit: it does as well as the largest.",
        mixed="Whether the smallest net underfits depends on the size of the sample.",
        missing="There is one net, and nothing to compare.",
    )
    return stop, more, under


FINDING = "A large net overfits a small sample; the more data, the less it does."
LOSSES = {"training": "train_loss", "validation": "val_loss", "test": "test_loss"}
READ_PICTURE = """Losses of the deepest nets by their width: mean ± standard deviation over training
sets. Too small a net has high losses of both kinds. Too large a net for its sample fits the noise:
its training loss falls below the noise, and its test loss does not follow."""
READ_TABLE = """Test loss is the mean squared distance from the true curve, plus the noise σ². A net
overfits by as much as its test loss is higher at the end than it was when its validation loss was
lowest: stopping there would have saved that much."""
READ_FITS = """What the smallest net, the net with the lowest validation loss (often the largest)
and the largest make of the smallest samples: one fit with its points, and the mean of all fits in
a band of their standard deviation."""
READ_LEARNING = """Losses of the largest net: mean ± standard deviation over training sets. Where
validation turns, the training loss still falls: from there on the net learns noise."""
READ_TERMS = """Test loss is bias² + variance + noise. Bias² is by how much the mean of all fits
misses the true curve: too small a net has much of it. Variance is by how much fits to different
samples differ: too large a net has much of it. A small bias² can come out below 0. The sum should
agree with the validation loss, which is measured apart, on noisy points."""


def report(config: Config, run: runs.Run, data: Dataset) -> reporting.Report:
    """The finding and the losses by capacity; then the questions, and bias and variance."""
    nets = sorted(run.kept.values(), key=lambda net: int(net.facts["weights"]))
    sizes = {size: [n for n in nets if n.facts["points"] == size] for size in sorted(config.sizes)}
    few, noise, y_label = sizes[min(sizes)], ("noise σ²", config.noise**2), "squared error"
    depth = few[-1].facts["depth"]
    deep = {size: [n for n in group if n.facts["depth"] == depth] for size, group in sizes.items()}
    over = "width", [net.facts["width"] for net in deep[min(sizes)]]

    def by_width(measure: Measure, size: int) -> np.ndarray:
        return np.stack([measure.of(net) for net in deep[size]], 1)

    capacity, fitted, learning, split = {}, [], [], []
    for size in dict.fromkeys([min(sizes), max(sizes)]):
        capacity[f"test, {size} points"] = by_width(TEST, size)
        capacity[f"training, {size} points"] = by_width(TRAIN, size)
    chosen = min(few, key=lambda net: float(VALIDATION.of(net).mean()))
    for i, net in enumerate({net.name: net for net in (few[0], chosen, few[-1])}.values()):
        (x, y), fit = (a[0, : min(sizes), 0] for a in data["train"]), net.facts["fit"]
        curves = {"one fit": fit[0], "all, mean ± sd": fit}
        drawing = plots.fits((x, y), GRID, truth(GRID), curves, f"{net.name} points")
        fitted.append(run.figure(f"fits-{i}", drawing))
    for size, group in sizes.items():
        past, turn, title = group[-1].history, group[-1].facts["turn"], f"{group[-1].name} points"
        curves = {name: past[key] for name, key in LOSSES.items()}
        mark = ("validation lowest, ± sd", turn.mean(), turn.std(ddof=1))
        drawing = plots.curves(curves, title, y_label, None, noise, mark, log=True)
        learning.append(run.figure(f"learning-{size}", drawing))
        parts = {"bias²": by_width(BIAS, size), "variance": by_width(VARIANCE, size)}
        drawing = plots.curves(parts, f"{size} points", y_label, over, noise)
        split.append(run.figure(f"terms-{size}", drawing))
    drawing = plots.curves(capacity, "", y_label, over, noise, log=True, wide=True)
    stop, more, under = questions(*([g[end] for g in sizes.values()] for end in (0, -1)))
    textbook = stop.contrasts[0].verdict == "better" and more.verdict == more.better
    caption = "Every net: mean ± standard deviation over training sets"
    table = table_of((TRAIN, TEST, OVER, TURN), nets, "net, points", caption)
    caption = "Every net: bias², variance, and what they add up to"
    sums = table_of((BIAS, VARIANCE, TEST, VALIDATION), nets, "net, points", caption)
    paragraph, figures = reporting.paragraph, reporting.figures
    pieces = [
        paragraph(READ_PICTURE),
        table.html(),
        paragraph(READ_TABLE),
        stop.html(figures(*learning), paragraph(READ_LEARNING)),
        more.html(),
        under.html(figures(*fitted), paragraph(READ_FITS)),
        reporting.heading("Bias and variance"),
        *(paragraph(READ_TERMS), figures(*split), sums.html()),
    ]
    picture = run.figure("capacity", drawing, wide=True)
    finding = FINDING if textbook else stop.verdict
    return reporting.Report("Capacity against data", finding, picture, pieces, table)


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="Capacity against data.")
