"""The proof: every layer, loss, combinator and net here has the gradient that it claims.

Each entry of the catalogue goes through `check_backward` in float32, bfloat16 and float16. Whole nets do so
too; then their loss's gradient is compared with autodiff's in float64, and 500 steps of training by each,
from one start over the same batches. `make verify` runs it; its exit status is 1 if anything is wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from rich.progress import track

import backhand as bh
from backhand import runs
from backhand.checks import seed_in_range
from backhand.data import digits
from backhand.reporting import page as report
from backhand.verify import Check, Report, check_backward
from backhand.verify.catalogue import catalogue, nets

DTYPES = ("float32", "bfloat16", "float16")
GRADIENT = 1e-12  # ‖by hand − autodiff‖/‖autodiff‖ in float64, as check_backward asks
STEPS, BATCH_SIZE = 500, 32
OPTIMIZERS = {"SGD": optax.sgd(0.1), "Adam": optax.adam(1e-3)}
# Parameters, of size about 1, may drift apart by 1e-9 in float64: a wrong term of a part in a million shows,
# while rounding stays near 1e-15. But 20 layers deep training is chaotic, and a rounding grows. So a second
# training by autodiff, from a start one rounding away, says what rounding alone does; 100 times that is allowed.
DRIFT, CHAOS = 1e-9, 100


# The columns of the tables: checks by how their names begin.
KINDS = {
    "gradient": "gradient",
    "precision, float32": "f32",
    "precision, bfloat16": "bf16",
    "precision, float16": "f16",
    "central": "slopes",
    "edges": "edges",
    "loss gradient": "loss gradient",
    f"{STEPS} steps of SGD": "SGD",
    f"{STEPS} steps of Adam": "Adam",
    "": "rest",
}
TRAINING_KINDS = {"loss gradient", "SGD", "Adam"}


@dataclass(frozen=True)
class Config:
    """From what the checks are drawn, and where they are kept."""

    seed: int = 0
    """Seeds inputs, cotangents, first weights and batches."""
    out: Path = Path("runs/verify")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        seed_in_range("config", self.seed)


def run(config: Config, run: runs.Run) -> None:
    """Check everything, keep every figure, print the table; leave with status 1 where something is wrong."""
    results: list[dict[str, Any]] = []
    for name, found in examine(config.seed):
        for check in found.checks:
            run.log(
                subject=name, check=check.name, figure=check.figure, tolerance=check.tolerance, ok=check.ok
            )
        margin = min(check.margin for check in found.checks)
        results.append({"subject": name, "ok": found.ok, "margin": margin, "story": str(found)})
        run.write_json("results.json", results)
    print_tables(run)
    print(f"{conclusion(results)}\nreport  {write_report(run)}")
    if not all(result["ok"] for result in results):
        raise SystemExit(1)


def examine(seed: int) -> Iterator[tuple[str, Report]]:
    """Every subject's name and its report: the catalogue's entries, whole nets, trainings."""
    entries = {name: (entry.subject, entry.inputs) for name, entry in catalogue(seed=seed).items()} | {
        f"net, {name}": (net, (digits(seed)["train"].x[:6],)) for name, net in nets().items()
    }
    for name, (subject, inputs) in track(entries.items(), "backward passes", transient=True):
        yield name, check_backward(subject, *inputs, dtypes=DTYPES, seed=seed)
    with jax.enable_x64(True):
        for name, net in track(nets().items(), "trainings", transient=True):
            yield f"trained, {name}", Report(name, (gradient(net, seed), *trajectories(net, seed)))


def loss_of(net: bh.Layer) -> bh.Loss:
    """The cross-entropy that goes with the net's last layer."""
    return bh.cross_entropy if net.parts[-1] is bh.softmax else bh.softmax_cross_entropy


def gradient(net: bh.Layer, seed: int) -> Check:
    """The gradient of the net's loss by hand against autodiff's, on a batch, at the first weights."""
    x, y = digits(seed)["train"]
    x, y = x[:BATCH_SIZE].astype(np.float64), y[:BATCH_SIZE]
    key = jax.random.key(seed)
    params = net.init(key, x)
    by_hand, by_jax = (
        jax.tree.leaves(make(net, loss_of(net))(params, x, y, jax.random.key(seed))[1])
        for make in (bh.manual, bh.autodiff)
    )
    error = [np.linalg.norm(a - b) for a, b in zip(by_hand, by_jax, strict=True)]
    return Check(
        "loss gradient, manual vs autodiff",
        float(np.linalg.norm(error) / np.linalg.norm([np.linalg.norm(leaf) for leaf in by_jax])),
        GRADIENT,
    )


def trajectories(net: bh.Layer, seed: int, steps: int = STEPS) -> Iterator[Check]:
    """How far trainings by hand and by autodiff go apart, with each optimizer, at any step."""
    x, y = digits(seed)["train"]
    x = x.astype(np.float64)
    batches = np.random.default_rng(seed).integers(0, len(x), (steps, BATCH_SIZE))
    for name, optimizer in OPTIMIZERS.items():
        by_hand, by_jax = (
            bh.make_step(make(net, loss_of(net)), optimizer) for make in (bh.manual, bh.autodiff)
        )
        start = bh.init_state(jax.random.key(seed), net, optimizer, x[:BATCH_SIZE])
        rounded = jax.tree.map(lambda p: p * (1 + np.finfo(p.dtype).eps), start.params)
        states = [start, start, start._replace(params=rounded)]
        drift = rounding = 0.0
        for rows in batches:
            states = [
                step(state, x[rows], y[rows])[0]
                for step, state in zip((by_hand, by_jax, by_jax), states, strict=True)
            ]
            ours, jaxs, other = (state.params for state in states)
            drift = np.maximum(drift, max_difference(ours, jaxs))  # NaN stays NaN, and is over any tolerance
            rounding = np.maximum(rounding, max_difference(other, jaxs))
        yield Check(f"{steps} steps of {name}, |Δparams|", float(drift), float(max(DRIFT, CHAOS * rounding)))


def max_difference(a: Any, b: Any) -> float:
    """The largest absolute difference between the entries of two trees of arrays."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.max([np.abs(x - y).max() for x, y in pairs]))


def tables_of(
    results: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]]
) -> Iterator[list[tuple[str, ...]]]:
    """Headers and rows, of the backward passes and of the trainings: the worst figure in each kind of check."""
    for training in (False, True):
        kinds = [kind for kind in KINDS.values() if (kind in TRAINING_KINDS) == training]
        figures: dict[str, dict[str, list[Any]]] = {}
        for r in records:
            kind = next(kind for start, kind in KINDS.items() if r["check"].startswith(start))
            figures.setdefault(r["subject"], {}).setdefault(kind, []).append(r)
        rows = [
            (
                r["subject"],
                *(worst_of(figures[r["subject"]].get(kind, [])) for kind in kinds),
                in_words(r["margin"], r["ok"]),
                "right" if r["ok"] else "WRONG",
            )
            for r in results
            if (set(figures[r["subject"]]) <= TRAINING_KINDS) == training
        ]
        yield [("subject", *kinds, "margin", "verdict"), *rows]


def worst_of(records: Sequence[dict[str, Any]]) -> str:
    """The figure nearest to its tolerance, or furthest over it, with a cross there."""
    if not records:
        return "–"
    worst = min(records, key=lambda r: (r["ok"], -r["figure"]))
    return f"{worst['figure']:.0e}" + ("" if worst["ok"] else " ✗")


def in_words(margin: float, ok: bool) -> str:
    """How many times the worst figure fits into its tolerance. JSON has no infinity: it comes back as NaN."""
    if not np.isfinite(margin):
        return "∞" if ok else "none"
    return f"{margin:.2g}×" if 0.01 < margin < 100 else f"{margin:.0e}×"


def matrix_of(records: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Header and rows: every subject's figure in every check."""
    figures: dict[str, dict[str, str]] = {}
    for r in records:
        figures.setdefault(r["subject"], {})[r["check"]] = f"{r['figure']:.1e}" + (
            "" if r["ok"] else " WRONG"
        )
    checks = dict.fromkeys(r["check"] for r in records)
    rows = [(name, *(found.get(check, "–") for check in checks)) for name, found in figures.items()]
    return [("subject", *checks), *rows]


def conclusion(results: Sequence[dict[str, Any]]) -> str:
    """What came out, in a sentence."""
    wrong = [r["subject"] for r in results if not r["ok"]]
    if wrong:
        return f"{len(wrong)} of {len(results)} subjects are WRONG: {', '.join(wrong)}."
    return f"All {len(results)} subjects are right."


def print_tables(run: runs.Run) -> None:
    """The results on the terminal, 100 columns wide at most, and the whole story of what is wrong."""
    results = run.read_json("results.json")
    for header, *rows in tables_of(results, run.metrics()):
        if rows:
            runs.print_table(header, rows)
    for r in results:
        if not r["ok"]:
            print(r["story"] + "\n")


def write_report(run: runs.Run) -> Path:
    """Write the report, from the run's files."""
    results = run.read_json("results.json")
    every_check, *figures = matrix_of(run.metrics())
    pieces = [
        report.paragraph(conclusion(results), lead=True),
        *(report.code(r["story"]) for r in results if not r["ok"]),
        *(report.table(header, rows) for header, *rows in tables_of(results, run.metrics()) if rows),
        report.paragraph(
            "The worst figure of each kind. In float64 a gradient by hand is compared with jax.vjp of the plain "
            "forward, and that with the slopes of the forward's values. In f32, bf16 and f16 it may be twice as far "
            "from the float64 gradient as autodiff in the same dtype, and a few ulps: the figure is the share of "
            "this that is used. The margin says how many times the figure nearest to its tolerance fits into it. "
            f"A training by hand may leave the one by autodiff, over {STEPS} steps in float64, by {DRIFT:.0e} in "
            f"any parameter, or {CHAOS} times as far as a rounding of the start alone takes autodiff from itself."
        ),
        report.details("Every figure", report.table(every_check, figures)),
        report.details("Every report", *(report.code(r["story"]) for r in results)),
        *run.again(),
    ]
    return run.write("report.html", report.page("Are the backward passes right?", *pieces))


if __name__ == "__main__":
    runs.main(Config, run, "Check every layer, loss, combinator, net and training against autodiff.")
