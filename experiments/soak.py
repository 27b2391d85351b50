"""The soak: does a seed keep its promise, and does a run survive being killed?

One command is run in fresh processes, over and over: every time the same parameters, optimizer states and metrics
should come out. Then it is killed, again and again, by a signal that no program can hear: at random moments, and while
it writes a checkpoint; each time `--resume` should come to the same end, bit for bit. `make soak` runs it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backhand import runs
from backhand.checks import positive_integer, seed_in_range
from backhand.storage import checkpoints
from backhand.storage.checkpoints import HALF_WRITTEN

LAB = Path(__file__).with_name("lab.py")
# Three trainings, the last with epochs that last long enough for a checkpoint in the midst of one.
COMMAND = ("--hidden", "512", "512", "--gradient", "manual", "--batch-size", "1", "--epochs", "24")


@dataclass(frozen=True)
class Config:
    """How often."""

    processes: int = 20
    """Fresh processes of one command."""
    kills: int = 50
    """Runs that are killed; every second one as it writes a checkpoint."""
    flags: tuple[str, ...] = COMMAND
    """What is run: flags of experiments/lab.py."""
    seed: int = 0
    """Seeds the moments of the kills."""
    out: Path = Path("runs/soak")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        positive_integer("config", "processes", self.processes)
        positive_integer("config", "kills", self.kills, least=0)
        seed_in_range("config", self.seed)


def run(config: Config, run: runs.Run) -> None:
    """Run the command over and over, whole and killed; print how often it came to the same end."""
    rng = np.random.default_rng(config.seed)
    folder = run.folder / "lab"
    first = lab(config, folder)
    whole, seconds = end_of(first), json.loads((first / "receipt.json").read_text())["seconds"]
    results: dict[str, Any] = {"seconds": seconds, "end": whole, "processes": [], "kills": []}
    for _ in range(config.processes - 1):
        results["processes"].append(same(whole, end_of(lab(config, folder))))
        run.log(kind="process", **results["processes"][-1])
        run.write_json("results.json", results)
    for number in range(config.kills):
        results["kills"].append(killed(config, folder, whole, rng.uniform(0, seconds), number % 2 == 1))
        run.log(kind="kill", **results["kills"][-1])
        run.write_json("results.json", results)
    print_table(results)
    if not all(r["same"] for r in results["processes"] + results["kills"]):
        sys.exit(1)


def killed(
    config: Config, folder: Path, whole: dict[str, Any], after: float, writing: bool
) -> dict[str, Any]:
    """Kill a run so many seconds after it began, or then as it writes its next checkpoint; go on, and compare."""
    while True:
        process, run_folder = started(config, folder)
        moment = time.monotonic() + after
        while process.poll() is None:
            if time.monotonic() >= moment and (not writing or half_written(run_folder)):
                break
            time.sleep(0.0005)
        process.kill()
        process.communicate()
        if json.loads((run_folder / "receipt.json").read_text())["outcome"] != "finished":
            break
        after *= 0.8  # it was done, or wrote nothing any more
    was = {"after": after, "writing": bool(half_written(run_folder)), **position(run_folder)}
    going_on = [sys.executable, str(LAB), "--resume", str(run_folder)]
    result = subprocess.run(going_on, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{run_folder} can't be gone on with: {result.stderr}")
    return was | same(whole, end_of(run_folder))


def started(config: Config, folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start the command in a process of its own; return it once it has made its run's folder."""
    before = set(folder.glob("*"))
    words = [sys.executable, str(LAB), *config.flags, "--out", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        for run_folder in set(folder.glob("*")) - before:
            if (run_folder / "receipt.json").exists():
                return process, run_folder
        time.sleep(0.001)
    _, errors = process.communicate()
    raise runs.RefusedError(f"the lab can't be run with flags {' '.join(config.flags)}: {errors}")


def lab(config: Config, folder: Path) -> Path:
    """Run the command in a process of its own, to its end; return its run's folder."""
    process, run_folder = started(config, folder)
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the lab ended with status {process.returncode}: {errors}")
    return run_folder


def end_of(run_folder: Path) -> dict[str, Any]:
    """What came out of a run, by digest."""
    receipt = json.loads((run_folder / "receipt.json").read_text())
    return {
        "parameters": receipt["params_sha256"],
        "optimizer states": {name: r["opt_state_sha256"] for name, r in receipt["trainings"].items()},
        "metrics": receipt["metrics_sha256"],
    }


def same(whole: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
    """Whether two ends are one, and in what they differ."""
    differs = [what for what in whole if end[what] != whole[what]]
    return {"same": not differs, "differs": differs}


def half_written(run_folder: Path) -> list[Path]:
    """Checkpoints that are not done."""
    return list(run_folder.glob(f"checkpoints/*/*{HALF_WRITTEN}*"))


def position(run_folder: Path) -> dict[str, Any]:
    """Where a run that was killed goes on: the training that was begun last, and its epoch and batch."""
    trainings = sorted(run_folder.glob("checkpoints/*/"), key=lambda path: path.stat().st_ctime)
    whole = [path for path in trainings[-1].glob("*") if path.name.isdecimal()] if trainings else []
    if not whole:
        return {"training": len(trainings), "epochs": 0, "batch": 0}
    _, said = checkpoints.read(max(whole, key=lambda path: int(path.name)))
    at = said["memory"]["position"]
    return {"training": len(trainings), "epochs": at["epochs"], "batch": at["batch"]}


def print_table(results: dict[str, Any]) -> None:
    """How often it came to the same end."""
    kills, processes = results["kills"], results["processes"]

    def row(name: str, some: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        return name, str(len(some)), str(sum(r["same"] for r in some))

    print(f"one run takes {results['seconds']:.1f} s; parameters {results['end']['parameters']}")
    rows = [
        ("the first process", "1", "1"),
        row("other processes", processes),
        row("killed, gone on with", kills),
        row("  in the midst of an epoch", [kill for kill in kills if kill["batch"] > 0]),
        row("  as it wrote a checkpoint", [kill for kill in kills if kill["writing"]]),
    ]
    runs.print_table(("", "runs", "the same end"), rows)
    for r in processes + kills:
        if not r["same"]:
            print(f"another end: {r}")


if __name__ == "__main__":
    runs.main(Config, run, "Run one command over and over, whole and killed, and compare how it ends.")
