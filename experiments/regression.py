"""Regression: curves and surfaces with outliers, by three losses side by side; and diabetes, cross-validated.

A set is drawn for each of several seeds, without outliers and with them, and each loss trains all of them
at once. How far a fit is off is measured against the clean curve, which no fit has seen. On diabetes, 25 nets
a loss meet scikit-learn's LinearRegression and MLPRegressor on the same 25 folds.

`make regression` runs it; `make regression DATASET=diabetes` or `make regression OUTLIERS=0` sets flags.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_float32, positive_integer, seed_in_range
from backhand.data.curves import CLEAN, CURVES, REACH
from backhand.models.perceptron import (
    OPTIMIZERS,
    Activation,
    Optimizer,
    perceptron,
    perceptron_name,
)
from backhand.reporting import page as report
from backhand.reporting.statistics import mean_sd
from backhand.storage.digests import sha256
from backhand.training.progress import Progress
from backhand.training.seeds import SeedHistory, fit_seeds, init_seeds

Loss: TypeAlias = Literal["squared", "absolute", "huber"]
FOLDS, REPEATS = 5, 5
# MLPRegressor's penalty: of 0.5, 1 and 2 it did best on the very folds it is scored on.
ALPHA = 0.5


@dataclass(frozen=True)
class Config:
    """What is fitted, and how. size, noise, outliers and seeds are of curves and surfaces only."""

    dataset: Literal["line", "sine", "step", "plane", "gaussians", "diabetes"] = "sine"
    """Curves (line, sine, step), surfaces over the plane (plane, gaussians), or scikit-learn's 442 patients."""
    size: int = 200
    """Training points; as many more are for validation."""
    noise: float = 0.05
    """Standard deviation of the Gaussian noise on y, whose clean values are from -1 to 1."""
    outliers: float = 0.1
    """Share of the training points raised by 2 to 4. Above 0, the same points without outliers are fitted, too."""
    losses: tuple[Loss, ...] = ("squared", "absolute", "huber")
    """Which losses to compare."""
    delta: float = 0.2
    """Where Huber's loss turns from squared to absolute, in y's unit; of diabetes, in standard deviations."""
    hidden: tuple[int, ...] = (32, 32)
    """Hidden widths."""
    activation: Activation = "tanh"
    """What stands between linear layers."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 5e-3
    """Size of the first step; it falls to 0 along half a cosine. Try 0.05 with sgd."""
    weight_decay: float | None = None
    """Decoupled (Loshchilov and Hutter, 2019): each step takes learning rate × this off every parameter.
    None is 0 for curves and surfaces, and 3 for diabetes: by hand, on splits of the training folds, 2 and 4 did alike
    and less did worse. All 25 folds together hold every patient, so every patient had a say in it."""
    batch_size: int = 20
    """Examples a step."""
    epochs: int = 300
    """Passes over the training data."""
    seeds: int = 5
    """How many sets are drawn and fitted, from seed, seed + 1, …"""
    seed: int = 0
    """The first seed: of data, first weights and order of examples; of diabetes, of folds, too."""
    resume: Path | None = None
    """The folder of a run that was cut short, to go on in it where it was."""
    out: Path = Path("runs/regression")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        data.curves.check("config", self.size, self.noise, self.outliers)
        if not self.losses or len(set(self.losses)) < len(self.losses):
            raise ValueError(
                f"config: losses should name at least one loss, and none twice, got {' '.join(self.losses) or 'none'}"
            )
        positive_float32("config", "delta", self.delta)
        for width in self.hidden:
            positive_integer("config", "hidden", width)
        positive_float32("config", "learning_rate", self.learning_rate)
        if self.weight_decay is not None and not 0 <= self.weight_decay <= 1000:
            raise ValueError(f"config: weight_decay should be from 0 to 1000, got {self.weight_decay}")
        for field in ("batch_size", "epochs", "seeds"):
            positive_integer("config", field, getattr(self, field))
        seed_in_range("config", self.seed, max(self.seeds, FOLDS * REPEATS))

    @property
    def decay(self) -> float:
        """The weight decay asked for, or the data set's own."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 3.0 if self.dataset == "diabetes" else 0.0


def run(config: Config, run: runs.Run) -> None:
    """Fit by each loss in turn; interrupted, report on those that are done."""
    (run_diabetes if config.dataset == "diabetes" else run_curve)(config, run)


# Curves and surfaces.


def run_curve(config: Config, run: runs.Run) -> None:
    """Draw the sets, fit them by each loss, leave table and report."""
    if config.batch_size > config.size:
        raise runs.RefusedError(
            f"batch_size should be at most size, {config.size} training points, got {config.batch_size}"
        )
    arrays = drawn(config)
    run.save_arrays("data.safetensors", arrays)
    run.data(sha256(arrays))
    results: dict[str, Any] = {"clean": scores_of_the_clean_values(config, arrays), "fits": []}
    params: dict[str, Any] = {}
    fitted: dict[str, np.ndarray] = {}
    try:
        for loss in config.losses:
            params[loss], fits, records = fit_curves(config, run, loss, arrays)
            fitted |= fits
            run.save_params(params)
            run.save_arrays("fits.safetensors", fitted)
            run.write_json("results.json", results | {"fits": results["fits"] + records})
            results["fits"] += records  # and no sooner: wherever an interruption falls, the files are there
    finally:
        if results["fits"]:
            narrow = [row[:-1] for row in curve_table(config, results)]  # 80 columns
            leave(narrow, report_on_curves(config, run))


def shares(config: Config) -> list[float]:
    """The shares of outliers that are compared: none, and what was asked for."""
    return sorted({0.0, config.outliers})


def drawn(config: Config) -> dict[str, np.ndarray]:
    """All sets, (shares, seeds, points, …), and the clean values (points, 1) along a grid."""
    sets = [
        [
            CURVES[config.dataset](config.size, config.noise, share, config.seed + i)
            for i in range(config.seeds)
        ]
        for share in shares(config)
    ]
    arrays = {
        f"{split}.{part}": np.stack([[getattr(d[split], part) for d in row] for row in sets])
        for split in ("train", "validation")
        for part in ("x", "y")
    }
    truth = CLEAN[config.dataset]
    axis = np.linspace(-REACH, REACH, 401 if truth.inputs == 1 else 41, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[axis] * truth.inputs), -1).reshape(-1, truth.inputs)
    return arrays | {"grid.x": grid, "grid.clean": truth.value(grid).astype(np.float32)}


def scores_of_the_clean_values(config: Config, arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """What the truth itself scores on each seed's validation points: as well as can be, for their noise."""
    value = CLEAN[config.dataset].value
    x, y = arrays["validation.x"][0], arrays["validation.y"][0]
    return scores_of((value(a).astype(np.float32), b) for a, b in zip(x, y, strict=True))


def fit_curves(
    config: Config, run: runs.Run, name: Loss, arrays: dict[str, np.ndarray]
) -> tuple[Any, dict[str, np.ndarray], list[dict[str, Any]]]:
    """Fit all sets by one loss; return the params, the fits on validation points and grid, and the scores."""
    form = (len(shares(config)), config.seeds)
    flat = {
        split: tuple(
            arrays[f"{split}.{part}"].reshape(-1, *arrays[f"{split}.{part}"].shape[2:]) for part in "xy"
        )
        for split in ("train", "validation")
    }
    seeds = [config.seed + i for i in range(config.seeds)] * form[0]
    params, apply, history = train(config, run, name, seeds, flat)
    fits = {
        f"{name}.validation": apply(params, flat["validation"][0]),
        f"{name}.grid": apply(params, np.stack([arrays["grid.x"]] * len(seeds))),
    }
    fits = {key: values.reshape(*form, *values.shape[1:]) for key, values in fits.items()}
    off = fits[f"{name}.grid"] - arrays["grid.clean"]
    records = []
    for i, share in enumerate(shares(config)):
        at = slice(i * config.seeds, (i + 1) * config.seeds)
        for epoch in range(config.epochs):
            scores = {
                f"{split}_{metric}": values[epoch, at]
                for split, scored in history.items()
                for metric, values in scored.items()
            }
            run.log(loss=name, outliers=share, epoch=epoch + 1, **scores)
        records.append(
            {
                "loss": name,
                "outliers": share,
                "r2": history["validation"]["r2"][-1, at],
                "mae": history["validation"]["mean_absolute_error"][-1, at],
                "clean_rmse": np.sqrt((off[i] ** 2).mean((1, 2))),
                "clean_mae": np.abs(off[i]).mean((1, 2)),
            }
        )
    return params, fits, records


def train(
    config: Config, run: runs.Run, name: Loss, seeds: Sequence[int], splits: dict[str, Any]
) -> tuple[Any, Callable[[Any, Any], np.ndarray], SeedHistory]:
    """Train a net a seed by hand-written backprop; return their params, how to apply them all, and the history."""
    net, loss = perceptron(config.hidden, 1, config.activation), the_loss(config, name)
    steps = config.epochs * (splits["train"][0].shape[1] // config.batch_size)
    optimizer = optax.chain(
        OPTIMIZERS[config.optimizer](1.0),  # which direction; updates are added, so decay is below 0
        optax.add_decayed_weights(-config.decay),
        optax.scale_by_schedule(optax.cosine_decay_schedule(config.learning_rate, steps)),
    )
    states, history = fit_seeds(
        init_seeds(seeds, net, optimizer, splits["train"][0][0]),
        bh.make_step(bh.manual(net, loss), optimizer),
        splits,
        net=net,
        loss=loss,
        epochs=config.epochs,
        batch_size=config.batch_size,
        metrics=[bh.r2, bh.mean_absolute_error],
        progress=Progress(config.epochs, label(config, name)),
        checkpoints=run.checkpoints(name),
    )
    return states.params, lambda params, x: np.asarray(jax.vmap(net.apply)(params, jnp.asarray(x))), history


def the_loss(config: Config, name: Loss) -> bh.Loss:
    """The loss of that name."""
    return {"squared": bh.squared_error, "absolute": bh.absolute_error, "huber": bh.huber(config.delta)}[name]


def label(config: Config, name: str) -> str:
    """What a reader calls the loss of that name."""
    return f"Huber, δ={config.delta:g}" if name == "huber" else f"{name} error"


def with_share(share: float) -> str:
    """What a reader calls a share of outliers."""
    return f"{100 * share:g}% outliers" if share else "no outliers"


def report_on_curves(config: Config, run: runs.Run) -> Path:
    """Draw the figures and write the report, from the run's files."""
    results = run.read_json("results.json")
    arrays, fits = run.arrays("data.safetensors"), run.arrays("fits.safetensors")
    inputs = CLEAN[config.dataset].inputs
    shape = "curve" if inputs == 1 else "surface"
    lead, *others = curve_conclusion(config, results)
    header, *rows = curve_table(config, results)
    pieces = [
        report.paragraph(lead, lead=True),
        *[report.paragraph(other) for other in others],
        report.table(header, rows),
        report.paragraph(
            f"A {perceptron_name(inputs, config.hidden, 1)} net, {config.activation}, after {config.epochs} epochs on "
            f"{config.size} points. R² and MAE, the mean absolute error, are on {config.size} validation points, which "
            f"have noise of standard deviation {config.noise:g} and no outliers. The last two columns are how far the "
            f"fit is off the clean {shape} along a grid, as root mean square and as mean absolute error. "
            f"{spread(config)}"
        ),
        report.heading("The fits"),
        report.paragraph(f"Of the first seed, {config.seed}."),
        report.figures(*fit_figures(config, run, arrays, fits)),
        report.heading(f"How far they are off the clean {shape}"),
        report.figures(*error_figures(config, run, results)),
        report.heading("What is left over"),
        report.paragraph(
            "y less fit, on the validation points of the first seed: noise alone has no pattern in it."
        ),
        report.figures(*residual_figures(config, run, arrays, fits)),
        report.heading("Learning"),
        report.figures(*learning_figures(config, run)),
        *run.again(),
    ]
    return run.write("report.html", report.page(f"Regression: {config.dataset}", *pieces))


def spread(config: Config) -> str:
    """What stands behind a ±."""
    if config.seeds == 1:
        return "One seed, so nothing says how much chance there is in it."
    return f"Mean ± standard deviation over {config.seeds} seeds, each with data of its own."


def fit_figures(
    config: Config, run: runs.Run, arrays: dict[str, np.ndarray], fits: dict[str, np.ndarray]
) -> list[str]:
    """Data and fits of the first seed, a picture a share of outliers."""
    pictures = []
    for i, share in enumerate(shares(config)):
        x, y = arrays["train.x"][i, 0], arrays["train.y"][i, 0, :, 0]
        outlier = y != arrays["train.y"][0, 0, :, 0]
        clean = arrays["grid.clean"][:, 0]
        curves = {label(config, name): fits[f"{name}.grid"][i, 0, :, 0] for name in done(config, fits)}
        title = f"{config.dataset}, {with_share(share)}"
        if x.shape[1] == 1:
            drawing = plots.curve_fits((x[:, 0], y), outlier, arrays["grid.x"][:, 0], clean, curves, title)
        else:
            side = round(len(clean) ** 0.5)
            axis = arrays["grid.x"][:side, 0]
            squares = {name: values.reshape(side, side) for name, values in curves.items()}
            drawing = plots.surface_fits(
                (x, y), outlier, (axis, axis), clean.reshape(side, side), squares, title
            )
        pictures.append(run.figure(f"fit-{i}", *drawing))
    return pictures


def error_figures(config: Config, run: runs.Run, results: dict[str, Any]) -> list[str]:
    """Each seed's distance from the clean values, by loss, a picture a share of outliers, on one scale."""
    everything = np.concatenate([r["clean_rmse"] for r in results["fits"]])
    limits = (0.8 * float(everything.min()), 1.25 * float(everything.max()))
    pictures = []
    for i, share in enumerate(shares(config)):
        groups = {
            label(config, r["loss"]): r["clean_rmse"] for r in results["fits"] if r["outliers"] == share
        }
        drawing = plots.dots(
            groups, f"{with_share(share)}, a dot a seed".capitalize(), "root mean squared error", limits
        )
        pictures.append(run.figure(f"errors-{i}", *drawing))
    return pictures


def residual_figures(
    config: Config, run: runs.Run, arrays: dict[str, np.ndarray], fits: dict[str, np.ndarray]
) -> list[str]:
    """What the fits of the first seed leave over on validation points: over x, or, for surfaces, over the fit."""
    pictures = []
    for i, share in enumerate(shares(config)):
        x, y = arrays["validation.x"][i, 0], arrays["validation.y"][i, 0, :, 0]
        panels = {}
        for name in done(config, fits):
            fit = fits[f"{name}.validation"][i, 0, :, 0]
            panels[label(config, name)] = (x[:, 0] if x.shape[1] == 1 else fit, y - fit)
        where = "x" if x.shape[1] == 1 else "fit"
        drawing = plots.residuals(panels, f"Fitted with {with_share(share)}", where, "y − fit")
        pictures.append(run.figure(f"residuals-{i}", *drawing))
    return pictures


def learning_figures(config: Config, run: runs.Run) -> list[str]:
    """The validation error of each loss, epoch by epoch, the mean over seeds."""
    metrics, pictures = run.metrics(), []
    for i, share in enumerate(shares(config)):
        series: dict[str, list[float]] = {}
        for r in metrics:
            if r["outliers"] == share:
                error = float(np.mean(r["validation_mean_absolute_error"]))
                series.setdefault(label(config, r["loss"]), []).append(error)
        drawing = plots.curves(
            series, with_share(share).capitalize(), "validation MAE, mean of seeds", log=True
        )
        pictures.append(run.figure(f"learning-{i}", *drawing))
    return pictures


def done(config: Config, arrays: dict[str, np.ndarray]) -> list[Loss]:
    """The losses that came to their end, in order."""
    return [name for name in config.losses if any(key.startswith(f"{name}.") for key in arrays)]


def curve_conclusion(config: Config, results: dict[str, Any]) -> list[str]:
    """What came out: how far outliers drew the fits away, and how good they are without."""

    def listed(fits: dict[str, dict[str, Any]], key: str, form: str = ".3f") -> str:
        return ", ".join(f"{mean_sd(r[key], form)} ({name})" for name, r in fits.items())

    said = []
    for share in reversed(shares(config)):
        fits = {label(config, r["loss"]): r for r in results["fits"] if r["outliers"] == share}
        text = f"With {with_share(share)}, "
        if not share:
            best = mean_sd(results["clean"]["r2"], ".4f")  # four digits, as not much is left to 1
            text += f"R² on validation data is {listed(fits, 'r2', '.4f')}; the clean values score {best}."
        else:
            text += f"fits are off the clean values by {listed(fits, 'clean_rmse')}, root mean square."
            base = fits.pop("squared error", None)
            if base and fits:
                ratios = {
                    name: {"ratio": np.divide(r["clean_rmse"], base["clean_rmse"])}
                    for name, r in fits.items()
                }
                text += f" Seed for seed, as parts of the squared error's: {listed(ratios, 'ratio')}."
        said.append(text)
    fitted = {r["loss"] for r in results["fits"]}
    return said + interrupted(label(config, name) for name in config.losses if name not in fitted)


def curve_table(config: Config, results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results."""
    table: list[tuple[str, ...]] = [("loss", "outliers", "R²", "MAE", "RMSE to clean", "MAE to clean")]
    for r in sorted(results["fits"], key=lambda r: r["outliers"]):
        scores = [mean_sd(r[key], ".4f") for key in ("r2", "mae", "clean_rmse", "clean_mae")]
        table.append((label(config, r["loss"]), f"{100 * r['outliers']:g}%", *scores))
    clean = [mean_sd(results["clean"][key], ".4f") for key in ("r2", "mae")]
    table.append(("clean values", "–", *clean, "–", "–"))
    return table


# Diabetes.


def run_diabetes(config: Config, run: runs.Run) -> None:
    """Cross-validate scikit-learn's models, then ours by each loss, on the same folds; leave table and report."""
    patients = data.diabetes()
    x, y = patients["all"]
    trains, tests = folds(len(x), config.seed)
    if config.batch_size > trains.shape[1]:
        raise runs.RefusedError(
            f"batch_size should be at most {trains.shape[1]}, the patients trained on, got {config.batch_size}"
        )
    run.data(patients.sha256)
    arrays = {"y": y[:, 0], "tests": tests}
    results: list[dict[str, Any]] = []

    def keep(model: str, predicted: np.ndarray, **more: Any) -> None:
        arrays[model] = predicted
        scores = scores_of((p[test], y[test, 0]) for p, test in zip(predicted, tests, strict=True))
        record = {"model": model, **scores, **more}
        run.save_arrays("predictions.safetensors", arrays)
        run.write_json("results.json", [*results, record])
        results.append(record)

    params: dict[str, Any] = {}
    try:
        for model, predicted, unfinished in scikit_learn(config, x, y[:, 0], tests):
            keep(model, predicted, not_converged=unfinished)
        for name in config.losses:
            params[name], predicted = fit_folds(config, run, name, x, y, trains, tests)
            keep(ours(config, name), predicted)
            run.save_params(params)
    finally:
        if results:
            leave(diabetes_table(results), report_on_diabetes(config, run))


def ours(config: Config, name: Loss) -> str:
    """What a reader calls our nets by the loss of that name, among other models."""
    return f"backhand ({label(config, name)})"


def folds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which patients our nets train on, (25, rows), and which each fold tests on, (25, patients) of bools.

    All 25 nets train at once, so all have equally many patients: a fold that leaves one more than others
    drops one, drawn by chance, from training. No test drops any.
    """
    from sklearn.model_selection import RepeatedKFold

    rng = np.random.default_rng(seed)
    splits = list(RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed).split(np.empty(count)))
    size = min(len(train) for train, _ in splits)
    tests = np.zeros((len(splits), count), bool)
    for test, (_, rows) in zip(tests, splits, strict=True):
        test[rows] = True
    return np.stack([rng.permutation(train)[:size] for train, _ in splits]), tests


def fit_folds(
    config: Config,
    run: runs.Run,
    name: Loss,
    x: np.ndarray,
    y: np.ndarray,
    trains: np.ndarray,
    tests: np.ndarray,
) -> tuple[Any, np.ndarray]:
    """Train a net a fold by one loss; return the params and (25, patients) predictions in y's unit.

    Inputs and target are standardised by the mean and standard deviation of the fold's training patients.
    """
    x, (y, centre, scale) = standardised(x, trains)[0], standardised(y, trains)
    rows = np.arange(len(trains))[:, None]
    few = tests.sum(1).min()  # for the learning curves, which want as many of each fold
    some = np.stack([np.flatnonzero(test)[:few] for test in tests])
    splits = {"train": (x[rows, trains], y[rows, trains]), "test": (x[rows, some], y[rows, some])}
    params, apply, history = train(config, run, name, [config.seed + i for i in range(len(trains))], splits)
    for epoch in range(config.epochs):
        scores = {f"{split}_r2": scored["r2"][epoch] for split, scored in history.items()}
        run.log(loss=name, epoch=epoch + 1, **scores)
    return params, (apply(params, x) * scale + centre)[:, :, 0]


def standardised(a: np.ndarray, trains: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`a` (patients, columns) once a fold, (25, patients, columns), and the mean and sd taken from training rows."""
    centre, scale = a[trains].mean(1, keepdims=True), a[trains].std(1, keepdims=True)
    return (a - centre) / scale, centre, scale


def scikit_learn(
    config: Config, x: np.ndarray, y: np.ndarray, tests: np.ndarray
) -> Iterator[tuple[str, np.ndarray, int]]:
    """scikit-learn's models: name, (25, patients) predictions, and on how many folds the fit did not converge.

    MLPRegressor has our net's widths, optimizer, step size, batches and most epochs.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mlp = MLPRegressor(
        hidden_layer_sizes=config.hidden,
        activation=rival_activation(config),
        solver="adam" if config.optimizer == "adam" else "sgd",
        momentum=0.9 if config.optimizer == "momentum" else 0.0,
        nesterovs_momentum=False,
        learning_rate_init=config.learning_rate,
        batch_size=config.batch_size,
        max_iter=config.epochs,
        alpha=ALPHA,
        random_state=config.seed,
    )
    for model in (LinearRegression(), mlp):
        pipeline = TransformedTargetRegressor(
            make_pipeline(StandardScaler(), model), transformer=StandardScaler()
        )
        predicted, unfinished = [], 0
        progress = Progress(len(tests), type(model).__name__, unit="fold")
        try:
            for number, test in enumerate(tests, start=1):
                prediction, converged = fit_pipeline(pipeline, x, y, ~test)
                predicted.append(prediction)
                unfinished += not converged
                progress.show(number, {})
        finally:
            progress.clear()
        yield type(model).__name__, np.stack(predicted), unfinished


def fit_pipeline(pipeline: Any, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, bool]:
    """The pipeline's predictions for all x once fitted to some rows, NaN where it diverged; and whether it converged.

    MLPRegressor takes Ctrl-C for the wish to end that one fit; here it ends the run.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            prediction = pipeline.fit(x[rows], y[rows]).predict(x)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return np.full(len(x), np.nan, np.float32), False
    if any("interrupted by user" in str(w.message) for w in caught):
        raise KeyboardInterrupt
    return prediction.astype(np.float32), not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def rival_activation(config: Config) -> str:
    """MLPRegressor's name for our activation, or the nearest it has."""
    return {"tanh": "tanh", "sigmoid": "logistic"}.get(config.activation, "relu")


def report_on_diabetes(config: Config, run: runs.Run) -> Path:
    """Draw the figures and write the report, from the run's files."""
    results, arrays = run.read_json("results.json"), run.arrays("predictions.safetensors")
    y, tests = arrays["y"], arrays["tests"]
    header, *rows = diabetes_table(results)
    lead, *others = diabetes_conclusion(config, results)
    chosen = " (by hand, on splits of the training folds)" if config.weight_decay is None else ""
    pieces = [
        report.paragraph(lead, lead=True),
        *[report.paragraph(other) for other in others],
        report.table(header, rows),
        report.paragraph(
            f"{REPEATS} × {FOLDS}-fold cross-validation of {len(y)} patients: mean ± standard deviation over "
            f"{len(tests)} folds, the same for all models. MAE, the mean absolute error, is in the unit of the target, "
            f"disease progression after a year, which runs from {y.min():.0f} to {y.max():.0f}. Folds share patients, "
            f"so they are not {len(tests)} independent trials."
        ),
        report.paragraph(
            f"Ours are {perceptron_name(10, config.hidden, 1)} nets, {config.activation}, after {config.epochs} epochs "
            f"with weight decay {config.decay:g}{chosen}, each on {len(y) - tests.sum(1).max()} patients: where a fold "
            f"leaves one more, one is dropped, so that all train at once. MLPRegressor has the same widths, batches "
            f"and step size, at most as many epochs on all its fold leaves, {rival_activation(config)}, and a penalty "
            f"of alpha = {ALPHA}, chosen in its favour: of 0.5, 1 and 2 the best on these very folds. Inputs and "
            f"target are standardised by each fold's training patients."
        ),
        report.heading("Every fold"),
        report.figures(*score_figures(run, results)),
        report.heading("Predicted and true"),
        report.paragraph("Of the first repeat, in which every patient is tested once."),
        *[report.figures(*pictures) for pictures in prediction_figures(run, results, arrays)],
    ]
    if metrics := run.metrics():
        pieces += [report.heading("Learning"), report.figures(*fold_learning(config, run, metrics))]
    return run.write("report.html", report.page("Regression: diabetes", *pieces, *run.again()))


def score_figures(run: runs.Run, results: list[dict[str, Any]]) -> list[str]:
    """Every model's R² and MAE on every fold."""
    pictures = []
    for key, title, words in (
        ("r2", "R², a dot a fold", "R² on the fold's patients"),
        ("mae", "MAE, a dot a fold", "mean absolute error, progression"),
    ):
        drawing = plots.dots({r["model"].replace(" (", "\n("): r[key] for r in results}, title, words)
        pictures.append(run.figure(f"scores-{key}", *drawing))
    return pictures


def prediction_figures(
    run: runs.Run, results: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> tuple[list[str], list[str]]:
    """Truth against prediction of every model, and what is left over, by scikit-learn's models and by ours."""
    y, tests = arrays["y"], arrays["tests"][:FOLDS]
    fold = tests.argmax(0)  # in which each patient is tested
    once = {r["model"]: arrays[r["model"]][fold, np.arange(len(y))] for r in results}
    everything = np.concatenate([y, *once.values()])
    limits = (float(np.nanmin(everything)) - 10, float(np.nanmax(everything)) + 10)
    against = [
        run.figure(f"predicted-{i}", *plots.predictions(y, p, model, "progression", limits))
        for i, (model, p) in enumerate(once.items())
    ]
    left_over = []
    for title, by_hand in (("scikit-learn", False), ("backhand", True)):
        panels = {model: (p, y - p) for model, p in once.items() if model.startswith("backhand") == by_hand}
        if panels:
            drawing = plots.residuals(
                panels, f"Residuals, {title}", "predicted progression", "true − predicted"
            )
            left_over.append(run.figure(f"residuals-{title}", *drawing))
    return against, left_over


def fold_learning(config: Config, run: runs.Run, metrics: list[dict[str, Any]]) -> list[str]:
    """R² on training and test patients, epoch by epoch, the mean over folds."""
    pictures = []
    for name in dict.fromkeys(r["loss"] for r in metrics):
        series = {
            split: [float(np.mean(r[f"{split}_r2"])) for r in metrics if r["loss"] == name]
            for split in ("train", "test")
        }
        drawing = plots.curves(series, label(config, name), "R², mean of folds")
        pictures.append(run.figure(f"learning-{name}", *drawing))
    return pictures


def diabetes_conclusion(config: Config, results: list[dict[str, Any]]) -> list[str]:
    """What came out: the mean scores, and how the first of our nets compares with each rival, fold by fold."""
    scores = ", ".join(f"{np.mean(r['r2']):.3f} by {r['model']}" for r in results)
    said = [f"Mean R² over {len(results[0]['r2'])} folds is {scores}."]
    rivals = [r for r in results if "not_converged" in r]
    for r in results[len(rivals) :][:1]:
        compared = []
        for rival in rivals:
            d = np.subtract(r["r2"], rival["r2"])
            compared.append(
                f"{mean_sd(d, '+.3f')} from {rival['model']}'s, higher on {(d > 0).sum()} of {len(d)}"
            )
        said.append(f"Fold by fold, the R² of {r['model']} differs by {' and '.join(compared)}.")
    said += [
        f"{r['model']} did not converge on {r['not_converged']} of {len(r['r2'])} folds."
        for r in rivals
        if r["not_converged"]
    ]
    models, wanted = (
        {r["model"] for r in results},
        ["MLPRegressor", *(ours(config, n) for n in config.losses)],
    )
    return said + interrupted(model for model in wanted if model not in models)


def diabetes_table(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results; differences are from the first model, fold by fold."""
    first = results[0]
    table: list[tuple[str, ...]] = [("model", "R²", "MAE", "R² − linear's", "higher on")]
    for r in results:
        difference = np.subtract(r["r2"], first["r2"])
        against = (mean_sd(difference, "+.3f"), f"{(difference > 0).sum()} of {len(difference)}")
        table.append(
            (
                r["model"],
                mean_sd(r["r2"], ".3f"),
                mean_sd(r["mae"], ".1f"),
                *(("–", "–") if r is first else against),
            )
        )
    return table


# Both.


def leave(table: list[tuple[str, ...]], path: Path) -> None:
    """Say what came out, and where the report is."""
    runs.print_table(table[0], table[1:])
    print(f"report  {path}")


def interrupted(lacking: Iterable[str]) -> list[str]:
    """What to say where a run that ended early left something out; nothing where it did not."""
    return [f"The run ended early; it lacks {names}."] if (names := ", ".join(lacking)) else []


def scores_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """R² and mean absolute error of each (prediction, target)."""
    scored = [(bh.r2(*pair), bh.mean_absolute_error(*pair)) for pair in pairs]
    return {"r2": [float(r2) for r2, _ in scored], "mae": [float(mae) for _, mae in scored]}


if __name__ == "__main__":
    runs.main(
        Config,
        run,
        "Curves and surfaces by three losses, with and without outliers; diabetes, cross-validated.",
    )
