"""Diabetes: nets by three losses against scikit-learn's models, cross-validated.

The 442 patients are divided into five folds, five times over. Every model is trained on four folds
and scored on the fifth, 25 times, each time on the same patients. Our 25 nets train at once.

`make diabetes` runs it; `make diabetes LOSSES=huber WEIGHT_DECAY=1` sets flags.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
import optax
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold
from sklearn.neural_network import MLPRegressor

import backhand as bh
from backhand import checks, plots, reporting, runs
from backhand.data import Dataset, diabetes
from backhand.models import perceptron
from backhand.reporting import Measure, Question, Trained, contrast
from backhand.training import Progress

FOLDS, REPEATS = 5, 5
TRAINED = 353  # patients in four folds of five, at least
ALPHA = 0.5  # MLPRegressor's penalty: of 0.5, 1 and 2 the best on the folds it is scored on


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    """Which nets, and how they are trained; MLPRegressor has the same as far as it can."""

    losses: tuple[Literal["squared", "absolute", "huber"], ...] = ("squared", "absolute", "huber")
    """Which losses to train by."""
    delta: float = 0.2
    """Where Huber's loss turns from squared to absolute, in standard deviations of the target."""
    hidden: tuple[int, ...] = (32, 32)
    """Hidden widths, with tanh."""
    learning_rate: float = 5e-3
    """Adam's first step size; it falls to 0 along half a cosine."""
    weight_decay: float = 3.0
    """Decoupled weight decay: each step takes learning rate × this off every parameter."""
    batch_size: int = 20
    """Examples a step."""
    epochs: int = 300
    """Passes over the training patients."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.different("config", "losses", self.losses)
        checks.positive_float32("config", "delta", self.delta)
        checks.non_negative_number("config", "weight_decay", self.weight_decay)
        checks.batches("config", TRAINED, self.batch_size)


def folds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which patients are trained on, (25, rows), and which are tested, (25, patients) of bools.

    Nets that train at once need equally many: folds that leave one more drop one, drawn by chance.
    """
    rng, empty = np.random.default_rng(seed), np.empty(count)
    splits = list(RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed).split(empty))
    size = min(len(train) for train, _ in splits)
    tests = np.stack([np.isin(np.arange(count), test) for _, test in splits])
    return np.stack([rng.permutation(train)[:size] for train, _ in splits]), tests


def train(config: Config, run: runs.Run, data: Dataset) -> None:
    """Cross-validate scikit-learn's models, then nets by each loss."""
    patients, progression = data["all"]
    trains, tests = folds(len(patients), config.seed)
    table = np.concatenate([patients, progression], 1)
    centre, spread = (f(table[trains], axis=1, keepdims=True) for f in (np.mean, np.std))
    x, y = np.split((table - centre) / spread, [-1], axis=2)  # standardised by trained patients
    picked = np.arange(len(trains))[:, None], trains

    def keep(name: str, predicted: np.ndarray, *trained: Any) -> None:
        """Keep a model with its predictions (25, patients), and its scores on tested patients."""
        predicted = predicted * spread[..., -1] + centre[..., -1]
        pairs = [(p[t], progression[t, 0]) for p, t in zip(predicted, tests, strict=True)]
        r2 = np.array([float(bh.r2(*pair)) for pair in pairs])
        mae = np.array([float(bh.mean_absolute_error(*pair)) for pair in pairs])
        run.keep(name, *trained, r2=r2, mae=mae, predicted=predicted)

    shape = {"hidden_layer_sizes": config.hidden, "activation": "tanh", "alpha": ALPHA}
    pace = {"learning_rate_init": config.learning_rate, "max_iter": config.epochs}
    mlp = MLPRegressor(**shape, **pace, batch_size=config.batch_size, random_state=config.seed)
    for model in (LinearRegression(), mlp):
        keep(type(model).__name__, scikit_learn(model, x, y[..., 0], trains))
    net, losses = perceptron(config.hidden, 1), {"huber": bh.huber(config.delta)}
    losses |= {"squared": bh.squared_error, "absolute": bh.absolute_error}
    steps = config.epochs * (trains.shape[1] // config.batch_size)
    rate = optax.cosine_decay_schedule(config.learning_rate, steps)
    for loss in config.losses:
        state, history = bh.fit(
            bh.Training(net, losses[loss], optax.adamw(rate, weight_decay=config.weight_decay)),
            (x[picked], y[picked]),
            key=jax.random.split(jax.random.key(config.seed), len(trains)),
            epochs=config.epochs,
            batch_size=config.batch_size,
            data_per_key=True,
            checkpoints=run.checkpoints(loss),
            progress=Progress(config.epochs, loss),
        )
        predicted = np.asarray(jax.vmap(net.apply)(state.params, x))[..., 0]
        keep(f"backhand, {loss}", predicted, state.params, history)


def scikit_learn(model: Any, x: np.ndarray, y: np.ndarray, trains: np.ndarray) -> np.ndarray:
    """A model's predictions (25, patients), fitted to each fold's trained patients.

    Raises FloatingPointError if it diverges.
    """
    name, predicted = type(model).__name__, []
    progress = Progress(len(trains), name, unit="fold")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for fold, rows in enumerate(trains):
            try:
                predicted.append(model.fit(x[fold, rows], y[fold, rows]).predict(x[fold]))
            except ValueError as error:
                raise FloatingPointError(f"{name}: {error}") from error
            # MLPRegressor takes Ctrl-C as a wish to end that one fit; here it ends the run.
            if any("interrupted by user" in str(w.message) for w in caught):
                raise KeyboardInterrupt
            progress.show(fold + 1, {})
    progress.clear()
    return np.stack(predicted).astype(np.float32)


# Measures: a number a fold.
R2 = Measure("R²", lambda model: model.facts["r2"], worse="lower", form=".3f")
MAE = Measure("MAE", lambda model: model.facts["mae"], worse="higher", form=".1f")


def question(models: dict[str, Trained]) -> Question:
    """How our nets compare with scikit-learn's models, by R² on the same folds.

    Folds share patients: their standard errors are those of Nadeau and Bengio (2003).
    """
    ours = [model for model in models.values() if model.params is not None]
    rivals = [model for model in models.values() if model.params is None]
    wider = (1 + FOLDS * REPEATS / (FOLDS - 1)) ** 0.5
    found = [contrast(R2, rival, net, paired=True) for rival in rivals for net in ours]
    differences = [c.difference._replace(error=wider * c.difference.error) for c in found]
    return Question(
        "Do our nets beat scikit-learn's models?",
        [c._replace(difference=d) for c, d in zip(found, differences, strict=True)],
        better="Nets by hand-written backprop beat a linear model and scikit-learn's net.",
        worse="A linear model and scikit-learn's net beat nets by hand-written backprop.",
        unclear="On diabetes a linear model does as well as any net, whoever trained it.",
        mixed="Not all nets compare alike with scikit-learn's models: the table shows which.",
    )


READ_FOLDS = """A dot is a fold, at the same height in every row; a diamond is the mean, with a bar
of ± one standard deviation. Models are compared fold by fold, as folds differ more than models. The
intervals below allow for the patients that folds share (Nadeau and Bengio, 2003)."""
READ_TABLE = """MAE, the mean absolute error, is in the target's unit: disease progression in a
year, from 25 to 346. MLPRegressor has our widths, batches and first step size, at most as many
epochs, and a penalty chosen on these very folds; our weight decay was chosen on training folds."""
READ_PREDICTED = """Each patient's progression over what was predicted by the one model of the first
five that had not seen that patient. On the dashed line a prediction is exact."""


def report(config: Config, run: runs.Run, data: Dataset) -> reporting.Report:
    """The finding and every fold's R²; then how models compare, and what they predict."""
    models, y = run.kept, data["all"].y[:, 0]
    once = folds(len(y), config.seed)[1][:FOLDS].argmax(0), np.arange(len(y))  # when each is tested
    scatter = [
        plots.predictions(y, model.facts["predicted"][once], name, "progression", (0, 360))
        for name, model in models.items()
    ]
    caption = "Mean ± standard deviation over 25 folds"
    table = reporting.table_of((R2, MAE), models.values(), "model", caption)
    dots = plots.dots({n: R2.of(m) for n, m in models.items()}, "25 folds", R2.name, wide=True)
    asked, paragraph = question(models), reporting.paragraph
    pieces = [paragraph(READ_FOLDS), table.html(), paragraph(READ_TABLE), asked.html()]
    pieces += [reporting.heading("Predicted and true"), paragraph(READ_PREDICTED)]
    pieces += [reporting.figures(*(run.figure(f"predicted-{i}", d) for i, d in enumerate(scatter)))]
    picture = run.figure("folds", dots, wide=True)
    return reporting.Report("Diabetes", asked.verdict, picture, pieces, table)


if __name__ == "__main__":
    words = "Nets by three losses against scikit-learn's models."
    runs.main(Config, train, report, load=lambda config: diabetes(), description=words)
