"""LeCun's table: its perceptrons on MNIST, published test error beside ours.

LeCun's page on MNIST (LeCun, Cortes and Burges, yann.lecun.org/exdb/mnist) lists the errors of
multi-layer perceptrons from 1998 to 2011. The same nets are trained here on the same pictures, by
backprop written out by hand, with what has been learned since: Adam, a falling learning rate,
weight decay, dropout, better first weights; and one net from 2014, with dropout. Left out are nets
of deskewed pictures, those pretrained without labels, one of six layers (0.35 %), and 800 elastic
by squared error (0.9 %): here all loss is cross-entropy. `make lecun` trains them all, in about an
hour on two cores; `make lecun ROWS="linear 300"` some of them. Settings were chosen by their error
on validation pictures, which `make lecun SCORE=validation` measures.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import checks, data, plots, reporting, runs
from backhand.models import Activation, perceptron
from backhand.reporting import Measure, Question, Table, Trained, figures, heading, paragraph
from backhand.training import Progress

RowName = Literal[
    "linear", "300", "1000", "300-100", "500-150", "500-300-decay", "800", "3x1024-dropout",
    "300-distorted", "1000-distorted", "300-100-distorted", "500-150-distorted", "800-affine",
    "800-elastic", "800-committee",
]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How a net is trained. Distortions are those of `bh.distort`, by name."""

    hidden: tuple[int, ...]
    epochs: int
    activation: Activation = "relu"
    learning_rate: float = 1e-3  # the highest
    weight_decay: float = 0.0
    batch_size: int = 128
    drop_inputs: float = 0.0
    drop_hidden: float = 0.0
    distortions: dict[str, float] = field(default_factory=dict)


class Row(NamedTuple):
    """A line of the published table, and how often the net is trained here."""

    published: float  # test error, %
    source: str
    settings: Settings
    seeds: int = 3
    members: int = 1  # nets whose probabilities are averaged


# As far as a digit goes without becoming another: pixels, degrees, shares.
AFFINE = {"shift": 1.5, "rotate": 12.0, "scale": 0.12, "shear": 0.12}
# Simard's σ, less than his α, and a little of the affine ones.
ELASTIC = {"alpha": 24.0, "sigma": 4.0, "shift": 1.0, "rotate": 7.0, "scale": 0.07, "shear": 0.07}
PAGE, SIMARD = "LeCun et al. 1998", "Simard et al. 2003"
SMALL = Settings((), 40, weight_decay=0.1, drop_inputs=0.15, drop_hidden=0.1)
WIDE = replace(SMALL, drop_inputs=0.2, drop_hidden=0.2)
DEEP = replace(SMALL, epochs=50, activation="gelu", drop_inputs=0.3, drop_hidden=0.3)
BENT = Settings((), 80, distortions=AFFINE)
ELASTIC_800 = Settings((800,), 100, distortions=ELASTIC)
ROWS: dict[RowName, Row] = {
    "linear": Row(12.0, PAGE, Settings((), 30, learning_rate=3e-3, weight_decay=0.01), 5),
    "300": Row(4.7, PAGE, replace(SMALL, hidden=(300,)), 5),
    "1000": Row(4.5, PAGE, replace(WIDE, hidden=(1000,)), 5),
    "300-100": Row(3.05, PAGE, replace(SMALL, hidden=(300, 100)), 5),
    "500-150": Row(2.95, PAGE, replace(WIDE, hidden=(500, 150)), 5),
    "500-300-decay": Row(1.53, "Hinton 2005, unpublished", replace(WIDE, hidden=(500, 300)), 5),
    "800": Row(1.6, SIMARD, replace(WIDE, hidden=(800,)), 5),
    "3x1024-dropout": Row(1.06, "Srivastava et al. 2014", replace(DEEP, hidden=(1024,) * 3)),
    "300-distorted": Row(3.6, PAGE, replace(BENT, hidden=(300,)), 5),
    "1000-distorted": Row(3.8, PAGE, replace(BENT, hidden=(1000,))),
    "300-100-distorted": Row(2.5, PAGE, replace(BENT, hidden=(300, 100)), 5),
    "500-150-distorted": Row(2.45, PAGE, replace(BENT, hidden=(500, 150)), 5),
    "800-affine": Row(1.1, SIMARD, replace(BENT, hidden=(800,), epochs=100)),
    "800-elastic": Row(0.7, SIMARD, ELASTIC_800),
    "800-committee": Row(0.39, "Meier et al. 2011", ELASTIC_800, members=5),
}
SHAPE = (28, 28)
DISTORTIONS = ("shift", "rotate", "scale", "shear", "alpha", "sigma")


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    """Which rows of the table, and how often."""

    rows: tuple[RowName, ...] = tuple(ROWS)
    """The rows to train, by name."""
    score: Literal["test", "validation"] = "test"
    """test: train on all 60,000 and score the test set. validation: train on 54,000 and score the
    other 6,000, to choose settings."""
    seeds: int | None = None
    """How often each row is trained, from different seeds; by default 3 times, smaller nets 5."""
    epochs: int | None = None
    """Passes over the training data. By default this and what follows are each row's own."""
    learning_rate: float | None = None
    """The highest learning rate; see the report for how it rises and falls."""
    weight_decay: float | None = None
    """AdamW's: each step takes learning rate × decay × weight off a weight."""
    drop_inputs: float | None = None
    """The fraction of pixels that dropout leaves out."""
    drop_hidden: float | None = None
    """The fraction of each hidden layer's units that it leaves out."""
    shift: float | None = None
    """Distortions: by how many pixels a picture is moved, at most."""
    rotate: float | None = None
    """By how many degrees it is turned, at most."""
    scale: float | None = None
    """By what factor it is enlarged: within 1 ± this."""
    shear: float | None = None
    """By how many pixels a pixel it is slanted, at most."""
    alpha: float | None = None
    """How strong elastic distortions are: Simard's α, in pixels."""
    sigma: float | None = None
    """Over how many pixels they are smoothed: Simard's σ."""
    data_dir: Path | None = None
    """The folder of TensorFlow Datasets' downloads/; by default TFDS_DATA_DIR, or its own."""
    seed: int = 0
    """The first seed, and that of the split into training and validation."""

    def __post_init__(self) -> None:
        checks.different("config", "rows", self.rows)
        if unknown := ", ".join(name for name in self.rows if name not in ROWS):
            raise ValueError(f"config: rows should be of {', '.join(ROWS)}, got {unknown}")
        for name in ("seeds", "epochs"):
            if getattr(self, name) is not None:
                checks.positive_integer("config", name, getattr(self, name))
        for row in map(self.row, self.rows):
            checks.positive_float32("config", "learning_rate", row.settings.learning_rate)
            checks.non_negative_number("config", "weight_decay", row.settings.weight_decay)
            checks.fraction("config", "drop_inputs", row.settings.drop_inputs)
            checks.fraction("config", "drop_hidden", row.settings.drop_hidden)
            network(row.settings)  # which checks the distortions
            checks.seed_in_range("config", self.seed, row.seeds * row.members)

    def row(self, name: RowName) -> Row:
        """The row, with what the flags change in it."""
        row, given = ROWS[name], {k: v for k, v in vars(self).items() if v is not None}
        distortions = row.settings.distortions | {k: given[k] for k in DISTORTIONS if k in given}
        others = {k: given[k] for k in vars(row.settings) if k in given}
        settings = replace(row.settings, **others, distortions=distortions)
        return row._replace(settings=settings, seeds=self.seeds or row.seeds)

    def nets(self, name: RowName) -> list[tuple[RowName, int]]:
        """A row's nets, by settings and seed; rows of equal settings share those of the first."""
        row = self.row(name)
        first = next(other for other in self.rows if self.row(other).settings == row.settings)
        return [(first, self.seed + i) for i in range(row.seeds * row.members)]


def load(config: Config) -> data.Dataset:
    """MNIST."""
    return data.tfds("mnist", config.data_dir, config.seed)


def training_set(config: Config, mnist: data.Dataset) -> data.Split:
    """What is trained on; the validation pictures too, if the test set is scored."""
    if config.score == "validation":
        return mnist["train"]
    pairs = zip(mnist["train"], mnist["validation"], strict=True)
    return data.Split(*(np.concatenate(pair) for pair in pairs))


def network(settings: Settings) -> bh.Layer:
    """The net; in training only, its pictures are distorted first, and some pixels dropped."""
    body = perceptron(settings.hidden, 10, settings.activation, settings.drop_hidden)
    before = [bh.distort(SHAPE, **settings.distortions)] if settings.distortions else []
    before += [bh.dropout(settings.drop_inputs)] if settings.drop_inputs else []
    return bh.serial(*before, *body.parts)


def training_of(settings: Settings, examples: int) -> bh.Training:
    """Cross-entropy by AdamW, whose learning rate rises to the highest and falls as a cosine."""
    steps, peak = settings.epochs * (examples // settings.batch_size), settings.learning_rate
    rate = optax.warmup_cosine_decay_schedule(peak / 25, peak, max(steps // 20, 1), max(steps, 2))
    optimizer = optax.adamw(rate, weight_decay=settings.weight_decay)
    return bh.Training(network(settings), bh.softmax_cross_entropy, optimizer)


def work(settings: Settings) -> float:
    """About how long a net takes, in any unit: by its weights, and what an epoch costs beside."""
    widths = (784, *settings.hidden, 10)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    return settings.epochs * (weights + 1e5 + 4e5 * bool(settings.distortions))


def train(config: Config, run: runs.Run, mnist: data.Dataset) -> None:
    """Train each net that the rows need, and score it once."""
    x, y = map(jnp.asarray, training_set(config, mnist))
    scored = mnist[config.score]
    nets = list(dict.fromkeys(net for name in config.rows for net in config.nets(name)))
    settings_of = {name: config.row(name).settings for name, _ in nets}
    trainings = {name: training_of(settings, len(x)) for name, settings in settings_of.items()}
    progress = Progress(1, parts=len(nets), work=[work(settings_of[name]) for name, _ in nets])
    for part, (name, seed) in enumerate(nets):
        stem, settings = f"{name}-{seed}", settings_of[name]
        progress.begin(part, stem, settings.epochs)
        state, history = bh.fit(
            trainings[name],
            (x, y),
            key=jax.random.key(seed),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            checkpoints=run.checkpoints(stem),
            progress=progress,
        )
        p = np.asarray(jax.nn.softmax(trainings[name].net.apply(state.params, scored.x)))
        facts = {"settings": asdict(settings), "error": error(p, scored.y), "p": p}
        run.keep(stem, state.params, history, **facts)


def error(p: np.ndarray, y: np.ndarray) -> float:
    """The share of wrong answers in %, rounded so that 39 of 10,000 are 0.39 %."""
    return round(100 * float(np.mean(p.argmax(1) != y)), 4)


def results_of(config: Config, run: runs.Run, y: np.ndarray) -> Iterator[Trained]:
    """Each row's errors, of its nets or committees, as far as they are trained."""
    for name in config.rows:
        row, stems = config.row(name), [f"{first}-{seed}" for first, seed in config.nets(name)]
        nets = [run.kept[stem].facts for stem in stems if stem in run.kept]
        whole, members = range(0, len(nets) - row.members + 1, row.members), row.members
        answers = [np.mean([net["p"] for net in nets[i : i + members]], axis=0) for i in whole]
        if answers:
            facts = {"row": row, "nets": len(nets), "p": answers[0]}
            facts["errors"] = np.array([error(p, y) for p in answers])
            yield Trained(name, None, {}, facts)


ERROR = Measure("error", lambda row: row.facts["errors"], "%", worse="higher")
MEASURES = (
    Measure("published", lambda net: np.array([net.facts["row"].published]), "%"),
    replace(ERROR, name="ours"),
    Measure("nets", lambda net: np.array([net.facts["nets"]]), form=".0f"),
    Measure("epochs", lambda net: np.array([net.facts["row"].settings.epochs]), form=".0f"),
)


def beats_published(rows: Sequence[Trained]) -> Question:
    """Whether the rows' errors are below the published ones."""
    contrasts = []
    for row in rows:
        published = np.full_like(row.facts["errors"], row.facts["row"].published)
        theirs = Trained("published", None, {}, {"errors": published})
        contrasts += [reporting.contrast(ERROR, theirs, row, paired=True)] * (len(published) > 1)
    mixed = "Some nets make clearly more errors than their lines of LeCun's table, others do not."
    if all(contrast.verdict != "worse" for contrast in contrasts):
        mixed = "Some nets make clearly fewer errors than their lines of LeCun's table, none more."
    return Question(
        "Which errors differ clearly from the published ones?",
        contrasts,
        better="With what has been learned since, every net makes clearly fewer errors than its "
        "line of LeCun's table.",
        worse="Every net makes clearly more errors than its line of LeCun's table.",
        unclear="No net's error differs clearly from that in its line of LeCun's table.",
        mixed=mixed,
        missing="Trained once, a net can't show whether its error differs from the published one.",
    )


HOW_TO_READ = """An error is the share of pictures taken for another digit, ± the standard deviation
over seeds; the published errors are of the test set. Settings were chosen on 6,000 validation
pictures after training on the other 54,000; those given by flags were not. For the test error, nets
train on all 60,000 and are scored once, after the last epoch. A committee's answer is the mean of
its members' probabilities; no net is in two committees. The published one has 25 members, and
digits of normalized width, set upright."""
METHOD = """Adam's learning rate rises over the first twentieth of the steps to the table's, and
falls to 0 as a cosine. Weight decay is AdamW's, apart from the gradient. Affine distortions shift a
picture by up to so many pixels, and turn, enlarge and shear it; elastic ones move each pixel by a
smooth random field. Both are drawn anew for each picture at each step."""


def report(config: Config, run: runs.Run, mnist: data.Dataset) -> reporting.Report:
    """Published errors beside ours, how the nets were trained, and what is still wrong."""
    (x, y), names = mnist[config.score], mnist.class_names
    rows = list(results_of(config, run, y))
    results, question = reporting.table_of(MEASURES, rows, "row"), beats_published(rows)
    errors = {row.name: row.facts["errors"] for row in rows}
    marks = "published", {row.name: row.facts["row"].published for row in rows}
    title = f"{config.score} error"
    drawing = plots.dots(errors, title, "error, %", marks=marks, log=True, wide=True)
    picture = run.figure("errors", drawing, wide=True)
    settings = []
    for row in rows:
        _, source, s, *_ = row.facts["row"]
        numbers = (s.learning_rate, s.weight_decay, s.drop_inputs, s.drop_hidden)
        bent = (s.distortions.get(name, 0.0) for name in DISTORTIONS)
        activation = s.activation if s.hidden else "none"
        settings.append((row.name, source, activation, *(f"{n:g}" for n in (*numbers, *bent))))
    header = ("row", "source", "activation", "rate", "decay", "drop inputs", "drop hidden")

    best = min(rows, key=lambda row: row.facts["errors"].mean())
    p = best.facts["p"]
    drawn = [run.figure("confusion", plots.confusion(y, p.argmax(1), names, best.name))]
    if surest := plots.mistakes(x.reshape(-1, *SHAPE), y, p, names):
        drawn.append(run.figure("mistakes", surest))
    pieces = [results.html(len(rows)), paragraph(HOW_TO_READ), question.html()]
    pieces += [heading("How they were trained"), paragraph(METHOD)]
    pieces += [Table((*header, *DISTORTIONS), settings, "Settings by row").html()]
    pieces += [*distorted(config, run, mnist), heading("What is still wrong")]
    pieces += [paragraph("The first net or committee of the best row."), figures(*drawn)]
    return reporting.Report("LeCun's table", question.verdict, picture, pieces, results)


def distorted(config: Config, run: runs.Run, mnist: data.Dataset) -> list[str]:
    """Some pictures as the nets saw them, for each kind of distortion in use."""
    (x, y), drawn = mnist["train"], []
    chosen = jnp.asarray(x[[int(np.flatnonzero(y == label)[0]) for label in np.unique(y)[:4]]])
    captions = ["as it is", *["distorted"] * 3] * len(chosen)
    kinds = [config.row(name).settings.distortions for name in config.rows]
    for number, kind in enumerate(k for i, k in enumerate(kinds) if k and k not in kinds[:i]):
        seen, key = jnp.repeat(chosen, 3, axis=0), jax.random.key(config.seed)
        bent, _ = bh.distort(SHAPE, **kind).forward((), seen, key)
        rows = np.concatenate([chosen[:, None], bent.reshape(len(chosen), 3, -1)], axis=1)
        title = "elastic distortions" if kind.get("alpha") else "affine distortions"
        drawing = plots.examples(rows.reshape(-1, *SHAPE), captions, title)
        drawn.append(run.figure(f"distortions-{number + 1}", drawing))
    return [heading("What distortions do"), figures(*drawn)] if drawn else []


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="LeCun's MNIST table, then and now.")
