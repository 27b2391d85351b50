"""Curves and surfaces by three losses, with and without outliers.

Each seed draws one set without outliers and the same set with them, and each loss trains a net on
every set, all nets at once. How far a fit is off is measured against the clean curve, which no net
has seen.

`make regression` runs it; `make regression DATASET=gaussians OUTLIERS=0.2` sets flags.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import checks, plots, reporting, runs
from backhand.data import Dataset, curve
from backhand.data.curves import CLEAN, REACH, check
from backhand.layer import Array
from backhand.models import Activation, perceptron
from backhand.reporting import Measure, Question, Trained, contrast
from backhand.training import OPTIMIZERS, Optimizer, Progress

Loss: TypeAlias = Literal["squared", "absolute", "huber"]


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    """What is fitted, and how."""

    dataset: Literal["line", "sine", "step", "plane", "gaussians"] = "sine"
    """A curve (line, sine, step), or a surface over the plane (plane, gaussians)."""
    size: int = 200
    """Training points, and as many validation points."""
    noise: float = 0.05
    """Standard deviation of the Gaussian noise on y, whose clean values are from -1 to 1."""
    outliers: float = 0.1
    """Share of the training points raised by 2 to 4; 0 fits the sets without outliers only."""
    losses: tuple[Loss, ...] = ("squared", "absolute", "huber")
    """Which losses to compare."""
    delta: float = 0.2
    """Where Huber's loss turns from squared to absolute, in y's unit."""
    hidden: tuple[int, ...] = (32, 32)
    """Hidden widths."""
    activation: Activation = "tanh"
    """The activation after each hidden layer."""
    optimizer: Optimizer = "adam"
    """One of optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 5e-3
    """Size of the first step; it falls to 0 along half a cosine. Try 0.05 with sgd."""
    weight_decay: float = 0.0
    """Decoupled weight decay: each step takes learning rate × this off every parameter."""
    batch_size: int = 20
    """Examples a step."""
    epochs: int = 300
    """Passes over the training data."""
    seeds: int = 5
    """How many sets are drawn and fitted, from seed, seed + 1, …"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("config", self.size, self.noise, self.outliers)
        checks.different("config", "losses", self.losses)
        checks.positive_float32("config", "delta", self.delta)
        checks.non_negative_number("config", "weight_decay", self.weight_decay)
        checks.batches("config", self.size, self.batch_size)

    @property
    def shares(self) -> list[float]:
        """The shares of outliers that are compared: none, and what was asked for."""
        return sorted({0.0, self.outliers})


def load(config: Config) -> list[Dataset]:
    """A set a seed for each share of outliers; a seed's sets differ in their outliers alone."""
    seeds = range(config.seed, config.seed + config.seeds)
    size, noise = config.size, config.noise
    return [curve(config.dataset, size, noise, share, s) for share in config.shares for s in seeds]


def stacked(data: list[Dataset], split: str) -> tuple[Array, Array]:
    """A split of all sets: x (sets, points, inputs) and y (sets, points, 1)."""
    return jnp.stack([d[split].x for d in data]), jnp.stack([d[split].y for d in data])


def truth(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """A grid (points, inputs) over the inputs' range, and the clean values (points,) there."""
    clean = CLEAN[config.dataset]
    axis = np.linspace(-REACH, REACH, 401 if clean.inputs == 1 else 41, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[axis] * clean.inputs), -1).reshape(-1, clean.inputs)
    return grid, clean.value(grid)[:, 0].astype(np.float32)


def train(config: Config, run: runs.Run, data: list[Dataset]) -> None:
    """Train a net on every set, loss by loss; keep the nets by loss and share of outliers."""
    seeds = np.arange(config.seed, config.seed + config.seeds).astype(np.uint32)
    net = perceptron(config.hidden, 1, config.activation)
    losses = {"squared": bh.squared_error, "absolute": bh.absolute_error}
    losses["huber"] = bh.huber(config.delta)
    steps = config.epochs * (config.size // config.batch_size)
    optimizer = optax.chain(
        OPTIMIZERS[config.optimizer](1.0),  # the direction; updates are added, so decay is negative
        optax.add_decayed_weights(-config.weight_decay),
        optax.scale_by_schedule(optax.cosine_decay_schedule(config.learning_rate, steps)),
    )
    grid, clean = truth(config)
    for name in config.losses:
        state, history = bh.fit(
            bh.Training(net, losses[name], optimizer),
            stacked(data, "train"),
            key=jax.vmap(jax.random.key)(np.tile(seeds, len(config.shares))),
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=stacked(data, "validation"),
            metrics=[bh.r2, bh.mean_absolute_error],
            data_per_key=True,
            checkpoints=run.checkpoints(name),
            progress=Progress(config.epochs, name),
        )
        off = np.asarray(jax.vmap(net.apply, (0, None))(state.params, grid))[..., 0] - clean
        for i, share in enumerate(config.shares):
            rows = np.s_[i * config.seeds : (i + 1) * config.seeds]
            params, past = jax.tree.map(lambda a, rows=rows: a[rows], (state.params, history))
            far = off[rows]
            scores = {"r2": past["val_r2"][:, -1], "mae": past["val_mean_absolute_error"][:, -1]}
            scores |= {"rmse_off": np.sqrt((far**2).mean(1)), "mae_off": np.abs(far).mean(1)}
            facts = {"loss": name, "outliers": share, "off": far}
            run.keep(f"{name}, {100 * share:g}%", params, past, **facts, **scores)


# Measures: a number a seed.
R2 = Measure("R²", lambda net: net.facts["r2"], worse="lower", form=".3f")
MAE = Measure("MAE", lambda net: net.facts["mae"], worse="higher", form=".3f")
OFF = Measure("RMSE off truth", lambda net: net.facts["rmse_off"], worse="higher", form=".3f")
MAE_OFF = Measure("MAE off truth", lambda net: net.facts["mae_off"], worse="higher", form=".3f")


def clean_scores(config: Config, data: list[Dataset]) -> Trained:
    """The clean curve's own scores, as if it were a net: the best that the noise allows."""
    value = CLEAN[config.dataset].value
    splits = [sets["validation"] for sets in data[: config.seeds]]
    pairs = [(jnp.asarray(value(x), jnp.float32), jnp.asarray(y)) for x, y in splits]
    r2 = np.array([float(bh.r2(*pair)) for pair in pairs])
    mae = np.array([float(bh.mean_absolute_error(*pair)) for pair in pairs])
    facts = {"r2": r2, "mae": mae} | dict.fromkeys(("rmse_off", "mae_off"), np.zeros(config.seeds))
    return Trained("the clean curve", None, {}, facts)


def questions(config: Config, nets: list[Trained]) -> tuple[Question, Question]:
    """Whether other losses beat squared error, on sets with outliers if any; what outliers do."""
    clean = {net.facts["loss"]: net for net in nets if not net.facts["outliers"]}
    worst = {net.facts["loss"]: net for net in nets if net.facts["outliers"] == config.outliers}
    others = [loss for loss in worst if "squared" in worst and loss != "squared"]
    spoilt = "Outliers spoil squared error; losses that grow linearly stay closer to the truth."
    best = Question(
        "Which loss comes closest to the truth?",
        [contrast(OFF, worst["squared"], worst[loss], paired=True) for loss in others],
        better=spoilt if config.outliers else "Even without outliers, squared error does worst.",
        worse="Squared error comes closer to the truth than the other losses.",
        unclear="No loss comes clearly closer to the truth than squared error.",
        mixed="Not all losses compare alike with squared error: the table shows which.",
    )
    harm = Question(
        "What do outliers do to each loss?",
        [contrast(OFF, clean[loss], worst[loss], paired=True) for loss in worst if config.outliers],
        worse="Outliers draw the fit away from the truth, whatever the loss.",
        unclear="Outliers do no clear harm, whatever the loss.",
        better="Whatever the loss, the fit is closer to the truth with outliers.",
        mixed="Outliers do not do the same to every loss: the table shows which.",
        missing="With one loss and no outliers, there is nothing to compare.",
    )
    return best, harm


READ_TABLE = """R² and MAE, the mean absolute error, are on validation points, which have noise but
no outliers. RMSE and MAE off truth are distances from the clean curve along a grid. The last row is
the clean curve itself: the noise allows no better."""
READ_DOTS = """A dot is a seed, at the same height in every row; a diamond is their mean, with a bar
of ± one standard deviation, both on the logarithmic scale. Differences are between nets of the same
seed."""
READ_LEARNING = "On validation points after each epoch: mean ± standard deviation over seeds."


def fits(config: Config, data: list[Dataset], nets: list[Trained], title: str) -> plots.Drawing:
    """What each loss makes of the first seed's set with one share of outliers."""
    x, y = data[config.seeds * (nets[0].facts["outliers"] > 0)]["train"]
    outlier = (y != data[0]["train"].y)[:, 0]
    grid, clean = truth(config)
    fitted = {net.facts["loss"]: clean + net.facts["off"][0] for net in nets}
    if grid.shape[1] == 1:
        points = x[:, 0], y[:, 0]
        return plots.fits(points, grid[:, 0], clean, fitted, title, outlier, wide=True)
    side = round(len(clean) ** 0.5)
    squares = {loss: fit.reshape(side, side) for loss, fit in fitted.items()}
    surface = clean.reshape(side, side)
    return plots.surface_fits((x, y[:, 0]), grid[:side, 0], surface, squares, title, outlier)


def report(config: Config, run: runs.Run, data: list[Dataset]) -> reporting.Report:
    """The finding and the fits it is about; then all seeds, what outliers do, and learning."""
    nets = sorted(run.kept.values(), key=lambda net: float(net.facts["outliers"]))
    ends = np.concatenate([OFF.of(net) for net in nets])
    limits = (0.8 * ends.min(), 1.25 * ends.max())
    fitted, dots, learning = [], [], []
    for i, share in enumerate(config.shares):
        title = f"{config.dataset}, {100 * share:g}% outliers"
        group = [net for net in nets if net.facts["outliers"] == share]
        fitted.append(run.figure(f"fits-{i}", fits(config, data, group, title), wide=True))
        found = {net.facts["loss"]: OFF.of(net) for net in group}
        dots.append(run.figure(f"off-{i}", plots.dots(found, title, OFF.name, limits, log=True)))
        past = {net.name: net.history["val_mean_absolute_error"] for net in group}
        learning.append(run.figure(f"learning-{i}", plots.curves(past, title, MAE.name, log=True)))
    (best, harm), clean = questions(config, nets), clean_scores(config, data)
    table = reporting.table_of((R2, MAE, OFF, MAE_OFF), [*nets, clean], "loss, outliers")
    picture, paragraph = fitted.pop(), reporting.paragraph
    pieces = [table.html(), paragraph(READ_TABLE)]
    pieces.append(best.html(reporting.figures(*dots), paragraph(READ_DOTS)))
    pieces += [harm.html(*fitted)] if fitted else []
    pieces += [reporting.heading("Learning"), paragraph(READ_LEARNING)]
    pieces.append(reporting.figures(*learning))
    finding = (best if best.contrasts else harm).verdict
    return reporting.Report(f"Regression: {config.dataset}", finding, picture, pieces, table)


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="Curves and surfaces by three losses.")
