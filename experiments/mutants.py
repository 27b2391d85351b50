"""Does the checker work? Wrong backward passes, made systematically, against three checkers.

Each mutant of the catalogue is given to `check_backward`, to `jax.test_util.check_grads` and to
`chex.assert_numerical_grads`, and so are the right rules they were made from. A checker kills a mutant by
finding fault with it; finding fault with a right rule is a false alarm. `make mutants` runs it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import chex
import jax
import jax.test_util

from backhand import runs
from backhand.checks import positive_integer, seed_in_range
from backhand.reporting import page as report
from backhand.verify import check_backward
from backhand.verify.catalogue import catalogue
from backhand.verify.mutants import differentiable, equivalent, mutants

OURS, JAX, CHEX = "check_backward", "check_grads", "chex"
CHECKERS = (OURS, JAX, CHEX)
SHAPES = ((6, 5), (4, 4), (9, 3))  # batch, width
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Config:
    """Which mutants are tried."""

    every: int = 1
    """Try every so-manieth mutant: 1 is all of them."""
    seed: int = 0
    """Seeds the inputs."""
    out: Path = Path("runs/mutants")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        positive_integer("config", "every", self.every)
        seed_in_range("config", self.seed)


def run(config: Config, run: runs.Run) -> None:
    """Try every checker on every mutant and every right rule; print and write the kill table."""
    for turn, (batch, width) in enumerate(SHAPES):
        entries = catalogue(batch, width, config.seed + turn)
        for name, entry in entries.items():
            found = {OURS: not check_backward(entry.subject, *entry.inputs, seed=config.seed).ok}
            for dtype in DTYPES:
                found |= numerical(entry.subject, entry.inputs, dtype)
                run.log(kind="right", name=name, dtype=dtype, **found)
        planned = [m for number, m in enumerate(mutants(entries)) if number % len(SHAPES) == turn]
        for number, mutant in enumerate(planned[:: config.every]):
            done = f"{turn + 1}/{len(SHAPES)}: {number} of {len(planned) // config.every}"
            show_progress(f"{done}, {mutant.name}, {mutant.kind}")
            if equivalent(mutant, config.seed):
                run.log(kind="equivalent", name=mutant.name, mutation=mutant.kind)
                continue
            dtype = DTYPES[number % len(DTYPES)]
            verdict = check_backward(mutant.subject, *mutant.inputs, seed=config.seed)
            diagnoses = [diagnosis.kind for diagnosis in verdict.diagnoses]
            found = {OURS: not verdict.ok} | numerical(mutant.subject, mutant.inputs, dtype)
            run.log(kind="mutant", name=mutant.name, mutation=mutant.kind, dtype=dtype, **found, diagnoses=diagnoses,
                    listed=bool(mutant.named), named=bool(set(diagnoses) & set(mutant.named)))  # fmt: skip
    show_progress("")
    results = summarize(run.metrics())
    run.write_json("results.json", results)
    print_table(results)
    print(f"report  {write_report(run, results)}")
    if results["survivors"] or results["false_alarms"][OURS]:
        sys.exit(1)


def numerical(subject: Any, inputs: tuple[Any, ...], dtype: str) -> dict[str, bool]:
    """Which of the other checkers find fault; they are given the rule as a custom_vjp function, and no forward mode."""
    found = {}
    for name, check in {JAX: jax.test_util.check_grads, CHEX: chex.assert_numerical_grads}.items():
        found[name] = False
        with jax.enable_x64(dtype == "float64"):
            try:
                function, leaves = differentiable(subject, inputs, dtype)
                check(function, tuple(leaves), order=1, modes=("rev",))
            except Exception:  # whatever it says, it found fault
                found[name] = True
    return found


def summarize(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by mutation, and in all."""
    tried = [record for record in metrics if record["kind"] == "mutant"]
    right = [record for record in metrics if record["kind"] == "right"]
    table = []
    for mutation in dict.fromkeys(record["mutation"] for record in tried):
        of_kind = [record for record in tried if record["mutation"] == mutation]
        named = sum(record["named"] for record in of_kind) if of_kind[0]["listed"] else None
        killed = {checker: sum(record[checker] for record in of_kind) for checker in CHECKERS}
        table.append(
            {"mutation": mutation, "mutants": len(of_kind), **killed, "named": -1 if named is None else named}
        )
    listed = [record for record in tried if record["listed"]]
    return {
        "table": table,
        "mutants": len(tried),
        "equivalent": sum(record["kind"] == "equivalent" for record in metrics),
        "killed": {checker: sum(record[checker] for record in tried) for checker in CHECKERS},
        "rules": len(right),
        "false_alarms": {checker: sum(record[checker] for record in right) for checker in CHECKERS},
        "listed": len(listed),
        "named": sum(record["named"] for record in listed),
        "survivors": [f"{r['name']}: {r['mutation']}" for r in tried if not r[OURS]],
    }


def table_of(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Header and rows: a mutation a row, then all of them, then the false alarms on right rules."""
    rows: list[tuple[str, ...]] = [("mutation", "mutants", *CHECKERS, "named")]
    for r in results["table"]:
        named = "" if r["named"] < 0 else str(r["named"])
        rows.append((r["mutation"], str(r["mutants"]), *(str(r[checker]) for checker in CHECKERS), named))
    killed = [f"{results['killed'][checker]}" for checker in CHECKERS]
    rows.append(("all", str(results["mutants"]), *killed, f"{results['named']} of {results['listed']}"))
    rows.append(
        (f"false alarms, of {results['rules']}", "", *(str(results["false_alarms"][c]) for c in CHECKERS), "")
    )
    return rows


def in_words(results: dict[str, Any]) -> str:
    """The kill table in a few sentences."""
    missed = [results["mutants"] - results["killed"][checker] for checker in CHECKERS]
    alarms = [results["false_alarms"][checker] for checker in CHECKERS]
    named = results["named"] / max(results["listed"], 1)
    return (
        f"Of {results['mutants']} wrong backward passes check_backward let {missed[0]} pass, "
        f"jax.test_util.check_grads {missed[1]} and chex.assert_numerical_grads {missed[2]}. On {results['rules']} "
        f"right ones they raised {alarms[0]}, {alarms[1]} and {alarms[2]} false alarms. Of the mistakes that our "
        f"diagnosis lists it named {named:.1%}."
    )


def write_report(run: runs.Run, results: dict[str, Any]) -> Path:
    """The kill table as a page."""
    header, *rows = table_of(results)
    survivors = [report.code("\n".join(results["survivors"]))] if results["survivors"] else []
    page = report.page(
        "Wrong backward passes against three checkers",
        report.paragraph(in_words(results), lead=True),
        report.table(header, rows),
        report.paragraph(
            "Each column counts the mutants that a checker found fault with; named, those whose mistake our diagnosis "
            f"named, blank where it lists none such. {results['equivalent']} more changed nothing where they were "
            "planted, as float64 shows, and do not count. The other two checkers judge in the float32 and float64 of "
            "the inputs, each mutant in one of them, at their default tolerances, which grow with the array."
        ),
        *survivors,
        *run.again(),
    )
    return run.write("report.html", page)


def print_table(results: dict[str, Any]) -> None:
    """The kill table on the terminal."""
    header, *rows = table_of(results)
    runs.print_table(header, rows, "mutants found")
    print(fill(in_words(results), 100))


def show_progress(line: str) -> None:
    """One line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line[:78]}")
        sys.stderr.flush()


if __name__ == "__main__":
    runs.main(Config, run, "Wrong backward passes, made systematically, against three checkers.")
