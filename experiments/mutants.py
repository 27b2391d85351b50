"""Does the checker work? Wrong backward passes, made systematically, against three checkers.

Each mutant of the catalogue, and the right rules they were made from, go to `check_backward`,
`jax.test_util.check_grads` and `chex.assert_numerical_grads`. Fault found with a right rule is a
false alarm. Exits with status 1 if `check_backward` misjudges one. `make mutants` runs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.test_util
import numpy as np

from backhand import plots, runs
from backhand.checks import positive_integer
from backhand.reporting import Report, Table, code, paragraph
from backhand.training import Progress
from backhand.verify import check_backward
from backhand.verify.catalogue import catalogue
from backhand.verify.mutants import differentiable, equivalent, mutants

OURS, JAX, CHEX = CHECKERS = ("check_backward", "check_grads", "chex")
SHAPES = ((6, 5), (4, 4), (9, 3))  # batch, width; a third of the mutants each
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Config(runs.Config):
    """Which mutants are tried."""

    every: int = 1
    """Try every n-th mutant: 1 is all of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("config", "every", self.every)


def train(config: Config, run: runs.Run) -> None:
    """Try every checker on every right rule and every mutant."""
    right, wrong = [], []
    progress = Progress(1, parts=len(SHAPES), unit="rule")
    for turn, (batch, width) in enumerate(SHAPES):
        progress.begin(turn, f"batch {batch}, width {width}")
        entries = catalogue(batch, width, config.seed + turn)
        tried = list(mutants(entries))[turn :: len(SHAPES)][:: config.every]
        progress.epochs = len(entries) + len(tried)
        for number, (name, entry) in enumerate(entries.items(), start=1):
            right.append({"name": name, **judge(entry.subject, entry.inputs, DTYPES, config.seed)})
            progress.show(number, {})
        for number, mutant in enumerate(tried):
            if not equivalent(mutant, config.seed):
                dtype = DTYPES[number % len(DTYPES)]
                found = judge(mutant.subject, mutant.inputs, [dtype], config.seed)
                named = bool({*found["diagnoses"]} & {*mutant.named}) if mutant.named else None
                said = {"name": mutant.name, "mutation": mutant.kind, "dtype": dtype}
                wrong.append({**said, **found, "named": named})
            progress.show(len(entries) + number + 1, {})
    progress.clear()
    run.keep("right", rules=right)
    run.keep("wrong", mutants=wrong)
    if any(record[OURS] for record in right) or not all(record[OURS] for record in wrong):
        raise SystemExit(1)


def judge(
    subject: Any, inputs: tuple[Any, ...], dtypes: Sequence[str], seed: int
) -> dict[str, Any]:
    """Which checkers find fault, and what ours diagnoses.

    The other two are given the rule as a custom_vjp function, and no forward mode.
    """
    verdict = check_backward(subject, *inputs, seed=seed)
    found = {OURS: not verdict.ok, JAX: False, CHEX: False}
    others = ((JAX, jax.test_util.check_grads), (CHEX, chex.assert_numerical_grads))
    for dtype in dtypes:
        for name, check in others:
            with jax.enable_x64(dtype == "float64"):
                try:
                    function, leaves = differentiable(subject, inputs, dtype)
                    check(function, tuple(leaves), order=1, modes=("rev",))
                except Exception:  # whatever it says, it found fault
                    found[name] = True
    return {**found, "diagnoses": [diagnosis.kind for diagnosis in verdict.diagnoses]}


GOOD = "check_backward found every wrong backward pass, and no fault with a right one."
BAD = "check_backward misjudged a backward pass: those are listed below the table."
READING = """
A perfect checker finds every mutant, share 1, and raises no false alarm on a right rule, share 0.
A column counts the mutants that a checker found fault with; named, those whose mistake our
diagnosis named, blank if it has no name for it. A mutant that changes nothing in float64 does not
count. The other two checkers judge at their default tolerances, which grow with the array."""


def report(_: Config, run: runs.Run) -> Report:
    """The page: the kill table."""
    right, wrong = run.kept["right"].facts["rules"], run.kept["wrong"].facts["mutants"]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for record in wrong:
        kinds.setdefault(record["mutation"], []).append(record)
    rows = [(kind, *counts(of)) for kind, of in [*kinds.items(), ("all", wrong)]]
    rows.append(("false alarms", *counts([r | {"named": None} for r in right])))
    table = Table(("mutation", "of", *CHECKERS, "named"), rows, "Mutants found")
    missed = [f"{r['name']}: {r['mutation']}" for r in wrong if not r[OURS]]
    missed += [f"{r['name']}: right" for r in right if r[OURS]]
    found = {c: float(np.mean([r[c] for r in wrong])) for c in CHECKERS}
    alarms = {c: float(np.mean([r[c] for r in right])) for c in CHECKERS}
    points = {checker: (share, share, share) for checker, share in found.items()}
    drawing = plots.intervals(points, "Mutants found", "share", ("false alarms", alarms))
    return Report(
        "Wrong backward passes against three checkers",
        BAD if missed else GOOD,
        run.figure("found", drawing, wide=True),
        [table.html(), *([code("\n".join(missed))] if missed else []), paragraph(READING)],
        table,
    )


def counts(records: list[dict[str, Any]]) -> list[str]:
    """How many there are, how many each checker found fault with, and how many ours named."""
    named = [record["named"] for record in records if record["named"] is not None]
    found = [sum(record[checker] for record in records) for checker in CHECKERS]
    return [str(len(records)), *map(str, found), str(sum(named)) if named else ""]


if __name__ == "__main__":
    runs.main(Config, train, report, description="Wrong backward passes against three checkers.")
