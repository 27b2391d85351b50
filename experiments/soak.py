"""The soak: does a seed keep its promise, and does a run survive being killed?

One command is run in fresh processes, over and over: parameters, optimizer states, metrics and all
other results should be the same each time, bit for bit. Then it is killed, again and again, by a
signal that no program can catch, at random moments and while it writes a checkpoint; after
`--resume` they should be the same, too. `make soak` runs it. Processes share no compilation cache.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backhand import runs
from backhand.checks import positive_integer
from backhand.reporting import Table
from backhand.runs.comparison import read_json
from backhand.storage import parameters
from backhand.storage.atomic import PARTIAL
from backhand.storage.json_values import JSON

LAB = Path(__file__).with_name("lab.py")
# Three trainings; the last one's epochs are long enough for checkpoints within an epoch.
FLAGS = "--hidden 512 512 --gradient manual --batch-size 1 --epochs 24"


@dataclass(frozen=True)
class Config(runs.Config):
    """How often, and what. The seed draws the moments of the kills."""

    processes: int = 20
    """Fresh processes of one command."""
    kills: int = 50
    """Runs that are killed; every second one while it writes a checkpoint."""
    flags: tuple[str, ...] = tuple(FLAGS.split())
    """What is run: flags of experiments/lab.py."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("config", "processes", self.processes)
        positive_integer("config", "kills", self.kills, least=0)


def soak(config: Config, run: runs.Run) -> None:
    """Run the command over and over, whole and killed; exit with status 1 if a result differs."""
    rng, folder = np.random.default_rng(config.seed), run.folder.absolute()
    whole: list[Path] = []
    for number in range(config.processes):
        process, made = started(config, folder)
        finish(process)
        whole.append(made)
        run.keep(f"process {number + 1}", differs=difference(whole[0], made))
    seconds = read_json(whole[0] / "receipt.json")["seconds"]
    for number in range(config.kills):
        made, where = killed(config, folder, rng.uniform(0, seconds), number % 2 == 1)
        finish(lab("--resume", str(made)))
        run.keep(f"kill {number + 1}", **where, differs=difference(whole[0], made))
    kept = {name: net.facts for name, net in run.kept.items()}
    print(f"one run takes {seconds:.1f} s")
    runs.print_table(table(kept))
    if different := [f"{name}:\n{f['differs']}" for name, f in kept.items() if f["differs"]]:
        sys.exit("\n".join(different))


def lab(*flags: str) -> subprocess.Popen[str]:
    """Start the lab in a process of its own, without a compilation cache."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": ""}
    words, pipe = [sys.executable, str(LAB), *flags], subprocess.PIPE
    return subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True)


def started(config: Config, folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start the command; return the process and its run's folder, once that is made."""
    before = set(folder.glob("lab/*"))
    process = lab(*config.flags, "--out", str(folder))
    while process.poll() is None:
        for made in set(folder.glob("lab/*")) - before:
            if (made / "receipt.json").exists():
                return process, made
        time.sleep(0.001)
    _, errors = process.communicate()
    raise runs.RefusedError(f"the lab can't be run with {' '.join(config.flags)}: {errors}")


def finish(process: subprocess.Popen[str]) -> None:
    """Wait until the lab ends; RuntimeError if it fails."""
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the lab ended with status {process.returncode}: {errors}")


def killed(
    config: Config, folder: Path, after: float, writing: bool
) -> tuple[Path, dict[str, JSON]]:
    """Start the command and kill it after so many seconds, or while it next writes a checkpoint.

    Returns its run's folder, and where the newest checkpoint is.
    """
    while True:
        process, made = started(config, folder)
        moment = time.monotonic() + after
        while process.poll() is None:
            if time.monotonic() >= moment and (not writing or half_written(made)):
                break
            time.sleep(0.0005)
        process.kill()
        process.communicate()
        if read_json(made / "receipt.json")["outcome"] != "finished":
            return made, {"seconds": after, "writing": half_written(made), **position(made)}
        after *= 0.8  # it had finished, or wrote no more checkpoints


def half_written(made: Path) -> bool:
    """Whether there is a checkpoint that is not whole."""
    return any(made.glob(f"checkpoints/*/{'*'.join(PARTIAL)}"))


def position(made: Path) -> dict[str, JSON]:
    """The step of the newest checkpoint, and whether it is within an epoch: those have no score."""
    saved = made.glob("checkpoints/*/*.safetensors")
    newest = max(saved, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None or newest.stem == "0":
        return {"step": 0, "within": False}
    return {"step": int(newest.stem), "within": parameters.read(newest)[1]["score"] is None}


def difference(first: Path, made: Path) -> str:
    """What differs between two runs; empty if they have the same results, bit for bit."""
    found = runs.diff(first, made)
    return "" if found.same else str(found)


def table(kept: Mapping[str, Mapping[str, JSON]]) -> Table:
    """How often the results were the same."""
    kills = [facts for name, facts in kept.items() if name.startswith("kill")]
    groups = {
        "fresh processes": [facts for name, facts in kept.items() if name.startswith("process")],
        "killed and resumed": kills,
        "  within an epoch": [kill for kill in kills if kill["within"]],
        "  while writing a checkpoint": [kill for kill in kills if kill["writing"]],
    }
    rows = [(n, len(group), sum(not f["differs"] for f in group)) for n, group in groups.items()]
    return Table(("", "runs", "the same"), rows)


if __name__ == "__main__":
    runs.main(Config, soak, description="Run one command over and over, whole and killed.")
