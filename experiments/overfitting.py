"""Overfitting: capacity against data, on a noisy curve whose truth is known.

Perceptrons of a grid of widths and depths are trained on samples of several sizes, each on many samples drawn
anew, so that under- and overfitting, early stopping, bias and variance are measured, and not only told.
`make overfitting` runs it; `make overfitting NOISE=0.2 WIDTHS="2 64"` sets flags.

All sizes of sample and all resampled sets train together under one `vmap`: a small sample is repeated until it
fills as many rows as the largest, which leaves its mean loss as it is, and gives all the same number of steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_float32, positive_integer
from backhand.models.perceptron import (
    OPTIMIZERS,
    Activation,
    Optimizer,
    perceptron,
    perceptron_name,
)
from backhand.reporting import page as report
from backhand.reporting.statistics import Estimate, decompose, less, mean, mean_sd
from backhand.training.progress import Progress
from backhand.training.seeds import SeedHistory, fit_seeds, init_seeds

# Middles of equal pieces of [−π, π], where x is uniform: a mean over them is one over x.
GRID = np.float32(np.pi) * (np.arange(-200, 200, 2, dtype=np.float32) + 1) / 200


def truth(x: np.ndarray) -> np.ndarray:
    """The curve that the samples are noisy points of: f(x) = sin 2x, of mean 0 and mean square ½."""
    return np.asarray(np.sin(2 * x))


@dataclass(frozen=True)
class Config:
    """Which nets, on how much data."""

    widths: tuple[int, ...] = (1, 2, 8, 32)
    """Units in each hidden layer."""
    depths: tuple[int, ...] = (1, 2)
    """Numbers of hidden layers. Every width is trained at every depth."""
    sizes: tuple[int, ...] = (20, 80, 320)
    """Training points. Each size divides the largest."""
    resamples: int = 12
    """Training sets drawn anew for each size, each with first weights of its own: what ± is taken over."""
    noise: float = 0.5
    """Standard deviation σ of the noise on y; the curve itself goes from −1 to 1."""
    held_out: int = 320
    """Validation points for each training set, and as many test points."""
    activation: Activation = "tanh"
    """What stands between linear layers."""
    optimizer: Optimizer = "adam"
    """optax's; momentum is sgd with momentum 0.9."""
    learning_rate: float = 1e-2
    """Step size; try 0.1 with sgd."""
    batch_size: int = 20
    """Examples a step."""
    epochs: int = 300
    """Passes over as many rows as the largest sample has."""
    seed: int = 0
    """Seeds the samples, the first weights and the order of examples."""
    resume: Path | None = None
    """The folder of a run that was cut short, to go on in it where it was."""
    out: Path = Path("runs/overfitting")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        for field in ("widths", "depths", "sizes"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"config: {field} should be different numbers, one at least, got {values}")
            for value in values:
                positive_integer("config", field, value)
        largest = max(self.sizes)
        for size in self.sizes:
            if largest % size:
                raise ValueError(f"config: sizes should divide the largest of them, {largest}, got {size}")
        positive_integer("config", "resamples", self.resamples, least=3)
        positive_float32("config", "noise", self.noise)
        positive_float32("config", "learning_rate", self.learning_rate)
        positive_integer("config", "held_out", self.held_out)
        positive_integer("config", "batch_size", self.batch_size)
        if self.batch_size > largest:
            raise ValueError(
                f"config: batch_size should be at most {largest}, the largest of sizes, got {self.batch_size}"
            )
        positive_integer("config", "epochs", self.epochs)
        positive_integer("config", "seed", self.seed, least=0)


Cell = dict[str, Any]  # what came out of one net at one size; losses by sample
TERMS = ("bias²", "variance")


def run(config: Config, run: runs.Run) -> None:
    """Train the grid, print the table, leave the report; interrupted, do so for the nets that are done."""
    samples = draw(config)
    run.data(samples.sha256)
    nets = [(depth, width) for depth in config.depths for width in config.widths]
    progress = Progress(config.epochs, parts=len(nets))
    cells: list[Cell] = []
    params: dict[str, Any] = {}
    histories: dict[str, np.ndarray] = {}
    fits: dict[str, np.ndarray] = {}
    try:
        for part, (depth, width) in enumerate(nets):
            name = perceptron_name(1, (width,) * depth, 1)
            progress.begin(part, name)
            params[name], trained, history, fit = train(config, run, samples, depth, width, progress)
            histories |= history
            fits |= fit
            run.save_params(params)
            run.save_arrays("histories.safetensors", histories)
            run.save_arrays("fits.safetensors", fits)
            run.write_json("results.json", judged(cells + trained))
            cells += trained
            for cell in trained:
                run.log(**cell)
    finally:
        progress.clear()
        if cells:
            header, *rows = table_of(judged(cells))
            title = (
                f"squared error after the last epoch, mean ± standard error over {config.resamples} samples"
            )
            runs.print_table(header, rows, title)
            path = write_report(config, run, samples)
            print(f"parameters  sha256 {run.receipt['params_sha256']}\nreport      {path}")


def draw(config: Config) -> data.Dataset:
    """What each of the `resamples` nets of a size gets: x and y (resamples, points, 1), in splits.

    A smaller training set is the start of the largest.
    """

    def points(stream: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([config.seed, stream])
        x = rng.uniform(-np.pi, np.pi, (config.resamples, count, 1))
        y = truth(x) + config.noise * rng.normal(size=x.shape)
        return x.astype(np.float32), y.astype(np.float32)

    counts = {"train": max(config.sizes), "validation": config.held_out, "test": config.held_out}
    splits = {split: data.Split(*points(i, count)) for i, (split, count) in enumerate(counts.items())}
    return data.Dataset("sin 2x with noise", splits)


def train(
    config: Config, run: runs.Run, samples: data.Dataset, depth: int, width: int, progress: Progress
) -> tuple[Any, list[Cell], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Train one net on all sizes and samples; return its params, and cells, histories and fits, a size each."""
    name = perceptron_name(1, (width,) * depth, 1)
    net, loss = perceptron((width,) * depth, 1, config.activation), bh.squared_error
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    largest, count = max(config.sizes), len(config.sizes)
    splits = {
        split: (np.tile(x, (count, 1, 1)), np.tile(y, (count, 1, 1)))
        for split, (x, y) in samples.splits.items()
    }
    splits["train"] = tuple(
        np.concatenate([np.tile(a[:, :size], (1, largest // size, 1)) for size in config.sizes])
        for a in samples["train"]
    )  # type: ignore[assignment]
    seeds = np.random.default_rng(config.seed).integers(2**32, size=config.resamples).tolist()
    states = init_seeds(seeds * count, net, optimizer, splits["train"][0][0])
    predict = jax.jit(jax.vmap(lambda params: net.apply(params, jnp.asarray(GRID[:, None]))))
    course_of: dict[str, np.ndarray] = {}  # predictions as training goes on, by epoch

    def on_chunk(epoch: int, states: bh.TrainState, _: SeedHistory) -> None:
        prediction = np.asarray(predict(states.params))
        course_of[str(epoch)] = prediction.reshape(count, config.resamples, len(GRID))

    states, history = fit_seeds(
        states,
        bh.make_step(bh.manual(net, loss), optimizer),
        splits,
        net=net,
        loss=loss,
        epochs=config.epochs,
        batch_size=config.batch_size,
        progress=progress,
        on_chunk=on_chunk,
        checkpoints=run.checkpoints(name),
        kept=course_of,
    )
    done = sorted(map(int, course_of))
    predictions = [course_of[str(epoch)] for epoch in done]
    parameters = sum(leaf[0].size for leaf in jax.tree.leaves(states.params))
    cells: list[Cell] = []
    histories: dict[str, np.ndarray] = {}
    fits: dict[str, np.ndarray] = {}
    for i, size in enumerate(config.sizes):
        rows = slice(i * config.resamples, (i + 1) * config.resamples)
        losses = {split: scored["loss"][:, rows] for split, scored in history.items()}
        course = [decompose(p[i], truth(GRID)) for p in predictions]
        key = f"{name}.{size}"
        histories |= {f"{key}.{split}": values for split, values in losses.items()}
        histories |= {f"{key}.epoch": np.array(done)}
        histories |= {
            f"{key}.{term}": np.array(values)
            for term, values in zip(TERMS, zip(*course, strict=True), strict=True)
        }
        fits[key] = predictions[-1][i]
        error = ((predictions[-1][i] - truth(GRID)) ** 2).mean(1, dtype=np.float64)
        cells.append(
            {"net": name, "depth": depth, "width": width, "parameters": parameters, "points": size}
            | {split: values[-1] for split, values in losses.items()}
            | stopped_early(losses["validation"], losses["test"])
            | dict(zip(TERMS, course[-1], strict=True))
            | {"noise": config.noise**2, "rest": losses["test"][-1] - error - config.noise**2}
        )
    return states.params, cells, histories, fits


def stopped_early(validation: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """After which epoch each net's validation loss was lowest, and its test loss then; both are (epochs, nets)."""
    best = validation.argmin(0)
    return {"turn": best + 1, "stopped": np.take_along_axis(test, best[None], axis=0)[0]}


def judged(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, each with a verdict: how its validation loss compares with the best net's at its size.

    Where it is higher by more than two standard errors, over pairs of nets of the same sample, the net
    underfits if its training loss is higher too, and else it overfits.
    """

    def verdict(cell: Cell) -> str:
        rivals = [c for c in cells if c["points"] == cell["points"]]
        best = min(rivals, key=lambda c: float(np.mean(c["validation"])))
        worse = less(cell["validation"], best["validation"])
        if cell is best or worse.value <= 2 * worse.error:
            return "best" if cell is best else "fits"
        return "underfits" if np.mean(cell["train"]) > np.mean(best["train"]) else "overfits"

    return [cell | {"verdict": verdict(cell)} for cell in cells]


def sizes_of(cells: Sequence[Cell]) -> dict[int, list[Cell]]:
    """The cells by number of training points, from few to many."""
    sizes = sorted({cell["points"] for cell in cells})
    return {size: [cell for cell in cells if cell["points"] == size] for size in sizes}


def best_of(cells: Sequence[Cell]) -> Cell:
    """The net with the lowest validation loss among cells of one size."""
    return next(cell for cell in cells if cell["verdict"] == "best")


def largest_of(cells: Sequence[Cell]) -> Cell:
    """The net with the most parameters."""
    return max(cells, key=lambda cell: int(cell["parameters"]))


def write_report(config: Config, run: runs.Run, samples: data.Dataset) -> Path:
    """Draw the figures and write the report, from the run's files and the samples."""
    cells = run.read_json("results.json")
    header, *rows = table_of(cells)
    pieces = [
        report.paragraph(verdicts_in_words(cells), lead=True),
        report.table(header, rows),
        report.paragraph(
            f"Mean squared errors after {config.epochs} epochs, ± the standard error of the mean over "
            f"{config.resamples} training sets, each drawn anew with y = sin 2x + noise of sd {config.noise:g}, x "
            f"uniform from −π to π. Each has first weights of its own, and {config.held_out} validation and "
            f"{config.held_out} test points. An epoch is a pass over {max(config.sizes)} rows at every size: a "
            "smaller sample is repeated until it fills as many, so that all nets take the same number of steps. "
            f"On new points no net can be expected below the noise, {config.noise**2:.3g}. A net underfits, or "
            "overfits, where its validation loss is above the best net's at that size by more than two standard "
            "errors, over pairs trained on the same points, and its training loss is higher, or lower, than that "
            "net's; else it fits. Saved is by how much lower the test loss is after the epoch of the lowest "
            "validation loss than after the last."
        ),
    ]
    nets, planned = {cell["net"] for cell in cells}, len(config.widths) * len(config.depths)
    if len(nets) < planned:
        pieces.insert(1, report.paragraph(f"Stopped when {len(nets)} of {planned} nets were done."))
    pieces += figures(config, run, samples, cells)
    return run.write("report.html", report.page("Capacity against data", *pieces, *run.again()))


def figures(config: Config, run: runs.Run, samples: data.Dataset, cells: list[Cell]) -> list[str]:
    """The report's sections, with their figures and what those come to in words."""
    histories, sizes = run.arrays("histories.safetensors"), sizes_of(cells)
    noise = ("noise σ²", config.noise**2)
    capacity, learning, terms, savings, gaps = [], [], [], [], []
    for size, group in sizes.items():
        title = f"{size} training points"

        def curves(key: str, group: list[Cell] = group) -> dict[str, plots.Curve]:
            return curves_of(group, "depth", lambda depth: f"{key}, {layers(depth)}", "parameters", key)

        losses, parts = (curves("train") | curves("validation"), curves("bias²") | curves("variance"))
        drawing = plots.with_errors(losses, title, "parameters", "mean squared error", noise, log=True)
        capacity.append(run.figure(f"capacity-{size}", *drawing))
        drawing = plots.with_errors(parts, title, "parameters", "squared error", noise)
        terms.append(run.figure(f"bias-variance-{size}", *drawing))
        learning.append(learning_figure(run, histories, largest_of(group), noise))
    for depth in dict.fromkeys(cell["depth"] for cell in cells):
        those = [cell for cell in cells if cell["depth"] == depth]
        series = curves_of(those, "points", lambda size: f"{size} points", "width", "saved")
        drawing = plots.with_errors(series, layers(depth), "width", "test loss saved", ("nothing saved", 0.0))
        savings.append(run.figure(f"saved-{depth}", *drawing))
        series = curves_of(those, "net", str, "points", "gap")
        y_label = "validation − training loss"
        drawing = plots.with_errors(series, layers(depth), "training points", y_label, ("no gap", 0.0))
        gaps.append(run.figure(f"gap-{depth}", *drawing))
    return [
        report.heading("Too small, too large"),
        report.paragraph(
            f"What {config.resamples} nets make of {config.resamples} samples of {min(sizes)} points: the smallest "
            "net, the best by validation, and the largest."
        ),
        report.figures(*fit_figures(run, samples, sizes[min(sizes)])),
        report.heading("Capacity"),
        report.paragraph(fitting_in_words(cells)),
        report.figures(*capacity),
        report.heading("Where validation turns"),
        report.paragraph(turning_in_words(cells, config.epochs)),
        report.figures(*learning),
        report.heading("What stopping early saves"),
        report.paragraph(stopping_in_words(cells)),
        report.figures(*savings, course_figure(run, histories, largest_of(sizes[min(sizes)]), noise)),
        report.details("Every net, stopped early", report.table(*stopping_table(cells))),
        report.heading("More data"),
        report.paragraph(more_data_in_words(cells)),
        report.figures(*gaps),
        report.heading("Bias and variance"),
        report.paragraph(
            "The error expected of a net trained on a sample is E(ŷ − y)² = (Eŷ − f)² + Var ŷ + σ²: bias², by how "
            "much the mean of all fits misses the true curve f; variance, by how much fits to different samples "
            f"differ; and noise. Here E is the mean over {config.resamples} samples, each with first weights of "
            "its own, and the squares are means over x. Error bars are the jackknife's standard errors; a change "
            "from net to net is judged as if the errors of the two were independent. Bias² is less what the "
            "scatter of the mean adds to it, so a small one can come out below 0."
        ),
        report.paragraph(bias_variance_in_words(cells)),
        report.figures(*terms),
        report.paragraph(sum_in_words(cells)),
        report.details("Bias², variance and noise of every net", report.table(*decomposition_table(cells))),
    ]


def curves_of(
    cells: Sequence[Cell], by: str, label: Callable[[Any], str], over: str, key: str
) -> dict[str, plots.Curve]:
    """What `key` is over another entry of the cells, a labelled curve for each value of a third."""
    series = {}
    for value in dict.fromkeys(cell[by] for cell in cells):
        those = sorted((cell for cell in cells if cell[by] == value), key=lambda cell: int(cell[over]))
        values, errors = zip(*(estimate(cell, key) for cell in those), strict=True)
        series[label(value)] = plots.Curve([cell[over] for cell in those], values, errors)
    return series


def estimate(cell: Cell, key: str) -> Estimate:
    """What a cell says of `key`, and how sure it is.

    The gap is by how much validation is above training; saved is by how much the test loss is lower where
    validation is lowest than at the end.
    """
    if key in TERMS:
        return Estimate(*cell[key])
    pairs = {"gap": ("validation", "train"), "saved": ("test", "stopped")}
    return less(*(cell[part] for part in pairs[key])) if key in pairs else mean(cell[key])


def layers(depth: int) -> str:
    """How many hidden layers, in words."""
    return "1 hidden layer" if depth == 1 else f"{depth} hidden layers"


def fit_figures(run: runs.Run, samples: data.Dataset, cells: list[Cell]) -> list[str]:
    """The fits of the smallest net, the best and the largest, at one size."""
    predictions, pictures = run.arrays("fits.safetensors"), []
    smallest = min(cells, key=lambda cell: int(cell["parameters"]))
    chosen = {cell["net"]: cell for cell in (smallest, best_of(cells), largest_of(cells))}
    for name, cell in chosen.items():
        x, y = (a[0, : cell["points"], 0] for a in samples["train"])
        title = f"{name}, {cell['points']} points: {cell['verdict']}"
        drawing = plots.fits(GRID, truth(GRID), predictions[f"{name}.{cell['points']}"], (x, y), title)
        pictures.append(run.figure(f"fits-{name}", *drawing))
    return pictures


def learning_figure(
    run: runs.Run, histories: dict[str, np.ndarray], cell: Cell, level: tuple[str, float]
) -> str:
    """A net's losses by epoch, and where its validation loss is lowest."""
    series = {}
    for split in ("train", "validation"):
        values = histories[f"{cell['net']}.{cell['points']}.{split}"].astype(np.float64)
        series[split] = plots.Curve(np.arange(1, len(values) + 1), values.mean(1), values.std(1, ddof=1))
    mark = ("validation lowest, ± sd", *spread(cell["turn"]))
    title = f"{cell['net']}, {cell['points']} points"
    drawing = plots.bands(series, title, "epoch", "mean squared error, ± sd", level, mark, log=True)
    return run.figure(f"learning-{cell['points']}", *drawing)


def course_figure(
    run: runs.Run, histories: dict[str, np.ndarray], cell: Cell, level: tuple[str, float]
) -> str:
    """A net's bias² and variance as training goes on."""
    key = f"{cell['net']}.{cell['points']}"
    series = {term: plots.Curve(histories[f"{key}.epoch"], *histories[f"{key}.{term}"].T) for term in TERMS}
    mark = ("validation lowest, ± sd", *spread(cell["turn"]))
    title = f"{cell['net']}, {cell['points']} points"
    return run.figure("course", *plots.bands(series, title, "epoch", "squared error, ± se", level, mark))


def spread(values: Any) -> tuple[float, float]:
    """Mean and standard deviation."""
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std(ddof=1))


def trend(change: Estimate, down: str, up: str) -> str:
    """The verb for a change, if it is clear of 0."""
    return (down if change.value < 0 else up) if change.clear else "does not clearly change"


def verdicts_in_words(cells: Sequence[Cell]) -> str:
    """How many cells underfit and overfit, and which overfits most."""
    verdicts = [cell["verdict"] for cell in cells]
    nets, sizes = ({cell[key] for cell in cells} for key in ("net", "points"))
    text = (
        f"Of {len(cells)} combinations, {len(nets)} nets on {len(sizes)} sizes of sample, "
        f"{verdicts.count('underfits')} underfit and {verdicts.count('overfits')} overfit"
    )
    rivals = sizes_of(cells)
    excess = [
        (less(cell["validation"], best_of(rivals[cell["points"]])["validation"]), cell)
        for cell in cells
        if cell["verdict"] == "overfits"
    ]
    if excess:
        most, cell = max(excess, key=lambda pair: pair[0].value)
        text += f", most of all {cell['net']} on {cell['points']} points, {most} above the best net's validation loss"
    return text + "."


def fitting_in_words(cells: Sequence[Cell]) -> str:
    """Which nets fit too little, which too much, and by how much, at each size."""
    said = []
    for size, group in sizes_of(cells).items():
        best = best_of(group)
        text = f"From {size} points {best['net']} does best, with a validation loss of {mean(best['validation'])}"
        for verdict in ("underfits", "overfits"):
            those = [cell for cell in group if cell["verdict"] == verdict]
            excess = {cell["net"]: less(cell["validation"], best["validation"]) for cell in those}
            most, *others = sorted(excess, key=lambda net: -excess[net].value) or [""]
            less_so = f" ({', '.join(others)} by less)" if others else ""
            text += f"; {most} {verdict}, by {excess[most]}{less_so}" if most else f"; no net {verdict}"
        said.append(text + ".")
    return " ".join(said)


def turning_in_words(cells: Sequence[Cell], epochs: int) -> str:
    """After which epoch the largest net's validation loss is lowest, and what comes of going on."""
    said = []
    for size, group in sizes_of(cells).items():
        cell = largest_of(group)
        cost = estimate(cell, "saved")
        said.append(
            f"With {size} points {cell['net']}, the largest net, has its lowest validation loss after epoch "
            f"{mean_sd(cell['turn'], '.0f')} of {epochs} (mean ± sd over {len(cell['turn'])} nets); going on to the "
            f"end {trend(cost, 'lowers', 'raises')} its test loss (a change of {cost})."
        )
    return " ".join(said)


def stopping_in_words(cells: Sequence[Cell]) -> str:
    """In how many cells stopping early pays, and where most."""
    savings = [(estimate(cell, "saved"), cell) for cell in cells]
    pays = [pair for pair in savings if pair[0].clear and pair[0].value > 0]
    hurts = [pair for pair in savings if pair[0].clear and pair[0].value < 0]
    text = (
        "Each net is stopped where its own validation loss was lowest, and the saving measured on test points that had "
        f"no say in it. It is clear of 0 by two standard errors in {len(pays)} of {len(savings)} cases"
    )
    if pays:
        most, cell = max(pays, key=lambda pair: pair[0].value)
        share = most.value / float(np.mean(cell["test"]))
        text += f", and largest with {cell['net']} on {cell['points']} points: {most}, {share:.0%} of the test loss"
    return text + (f"; in {len(hurts)} it is a clear loss." if hurts else "; in none is it a clear loss.")


def more_data_in_words(cells: Sequence[Cell]) -> str:
    """Whether the gap between validation and training closes as the sample grows."""
    sizes = sizes_of(cells)
    net = largest_of(cells)["net"]
    ends = [cell for size in (min(sizes), max(sizes)) for cell in sizes[size] if cell["net"] == net]
    if len(sizes) < 2 or len(ends) < 2:
        return "There is one size of sample, and nothing to compare."
    few, many = ends
    closing = less(
        np.subtract(many["validation"], many["train"]), np.subtract(few["validation"], few["train"])
    )
    falling = less(many["validation"], few["validation"])
    return (
        f"From {few['points']} points to {many['points']} the gap between the validation and the training loss of "
        f"{net}, the largest net, {trend(closing, 'narrows', 'widens')} from {estimate(few, 'gap')} to "
        f"{estimate(many, 'gap')}, and its validation loss {trend(falling, 'falls', 'rises')} from "
        f"{mean(few['validation'])} to {mean(many['validation'])}."
    )


def bias_variance_in_words(cells: Sequence[Cell]) -> str:
    """How bias² and variance differ between the narrowest nets and the widest, at the least and most data."""
    sizes, said = sizes_of(cells), []
    for size in dict.fromkeys((min(sizes), max(sizes))):
        for depth in dict.fromkeys(cell["depth"] for cell in sizes[size]):
            nets = [cell for cell in sizes[size] if cell["depth"] == depth]
            narrow, wide = (end(nets, key=lambda cell: int(cell["width"])) for end in (min, max))
            if narrow is wide:
                continue
            changes = []
            for term in TERMS:
                first, last = (Estimate(*cell[term]) for cell in (narrow, wide))
                changes.append(f"{term} {trend(last.less(first), 'falls', 'grows')} from {first} to {last}")
            said.append(
                f"With {size} points, from {narrow['net']} to {wide['net']}, {' and '.join(changes)}."
            )
    return " ".join(said) or "There is one width, and nothing to compare."


def sum_in_words(cells: Sequence[Cell]) -> str:
    """Whether bias², variance and noise make up the test loss."""
    rests = [(mean(cell["rest"]), cell) for cell in cells]
    apart = sum(rest.clear for rest, _ in rests)
    # How often Student's t, of as many degrees of freedom as such a mean has, is beyond ±2.
    freedom = len(rests[0][1]["rest"]) - 1
    chance = float(jax.scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + 4)))
    worst, cell = max(rests, key=lambda pair: abs(pair[0].value))
    total = sum(Estimate(*cell[term]).value for term in TERMS) + cell["noise"]
    return (
        f"Their sum can be compared with the loss on noisy test points, measured apart. In {apart} of {len(rests)} "
        f"cases the two differ by more than two standard errors; by chance about {chance * len(rests):.2g} would. They "
        f"are furthest apart with {cell['net']} on {cell['points']} points: a sum of {total:.3f}, a test loss of "
        f"{np.mean(cell['test']):.3f}, a difference of {worst}."
    )


def table_of(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Header and rows of the table of results."""
    table: list[tuple[str, ...]] = [("net", "points", "train", "validation", "saved", "verdict")]
    for cell in cells:
        estimates = [str(estimate(cell, key)) for key in ("train", "validation", "saved")]
        table.append((cell["net"], str(cell["points"]), *estimates, cell["verdict"]))
    return table


def stopping_table(cells: Sequence[Cell]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: when each net is stopped early, and its test loss then and at the end."""
    rows = []
    for cell in cells:
        estimates = [str(estimate(cell, key)) for key in ("test", "stopped", "saved")]
        rows.append((cell["net"], str(cell["points"]), *estimates, mean_sd(cell["turn"], ".0f")))
    return ("net", "points", "test at the end", "test, stopped", "saved", "after epoch"), rows


def decomposition_table(cells: Sequence[Cell]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: what the expected error is made of, and the measured one."""
    header = ("net", "parameters", "points", *TERMS, "noise", "sum", "test", "test − sum")
    rows = []
    for cell in cells:
        terms = [Estimate(*cell[term]) for term in TERMS]
        total = sum(term.value for term in terms) + cell["noise"]
        measured = (f"{cell['noise']:.3f}", f"{total:.3f}", str(mean(cell["test"])), str(mean(cell["rest"])))
        counts = (f"{cell['parameters']:,}", str(cell["points"]))
        rows.append((cell["net"], *counts, *map(str, terms), *measured))
    return header, rows


if __name__ == "__main__":
    runs.main(
        Config, run, "Capacity against data: under- and overfitting, early stopping, bias and variance."
    )
