"""Does a run reproduce? Run it again as its receipt says, and compare the two.

`make reproduce RUN=runs/lab/…` leaves nothing behind and ends with one of these:

    0  bitwise identical
    1  different
    2  cannot be compared: the run did not finish, its data are missing, …
    3  same within t, and a circumstance, such as a different JAX, explains why not identical

Make itself ends with 2 unless that is 0, and says which it was: `Error 3`. `make reproduce-all`
does this for a short run of every experiment, and ends with the worst status.

The t of an array is √ε of its dtype, relative to its largest magnitude: half of the dtype's digits,
3.5e-4 in float32. Sums in a different order change the last digit, and a training that converges
carries that to a few more. Where the loss is almost 0, Adam divides one rounding error by another:
on a different machine such a run is different, and is called so.
"""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from backhand import runs
from backhand.reporting import Table
from backhand.runs.comparison import contents, printable, read_bytes, read_json, shown
from backhand.runs.config import flags
from backhand.storage import parameters
from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON

EXPERIMENTS = Path(__file__).resolve().parent
NOTEBOOK = {"seed": 0, "notebook": "lesson.py"}  # the config of the only notebook that is run again
DATA = ("lab", "mnist", "lecun")  # these have --data-dir
OPTIONAL = ("lecun",)  # its data may not be on this machine
IRRELEVANT = {"commit", "dirty"}  # these explain no difference: the source's digest says better
IDENTICAL, DIFFERENT, INCOMPARABLE, WITHIN = range(4)
WORDS = ("bitwise identical", "different", "cannot be compared", "same within t")

# A short run of every experiment.
SHORT = {
    "lab": "--hidden 16 8 --epochs 3",
    "planar": "--hidden 8 --epochs 5 --seeds 2 --size 60",
    "regression": "--hidden 8 --epochs 5 --seeds 2 --size 40",
    "diabetes": "--losses huber --hidden 4 --epochs 5",
    "overfitting": "--widths 2 4 --depths 1 --sizes 10 20 --resamples 3 --epochs 10 --held-out 20",
    "losses": "",
    "explain": "",
    "mnist": "--dataset digits --hidden 8 --activations tanh relu --seeds 2 --epochs 2",
    "lecun": "--rows linear --seeds 1 --epochs 1 --score validation",
    "verify": "",
    "mutants": "--every 1000",
    "bench": "--hidden 16 8 --examples 1280 --rounds 2",
    "costs": "--batch 16 --rounds 2",
    "notebook": "",
}


@dataclass(frozen=True)
class Config:
    """What to run again."""

    run: Path | None = None
    """The folder of a run, such as runs/lab/20260704-120000."""
    all: bool = False
    """Make a short run of every experiment first, and reproduce that."""
    data_dir: Path | None = None
    """The folder of TensorFlow Datasets' downloads/; by default TFDS_DATA_DIR, or
    ~/tensorflow_datasets."""

    def __post_init__(self) -> None:
        if self.all == (self.run is not None):
            raise ValueError("give --run runs/lab/20260704-120000 or --all")


class Verdict(NamedTuple):
    """An exit status, such as IDENTICAL, and what explains it."""

    status: int
    account: str

    def __str__(self) -> str:
        return printable("\n  ".join([WORDS[self.status], *self.account.splitlines()]))


def verdict(original: Path, again: Path) -> Verdict:
    """Compare the run in a folder with its rerun."""
    try:
        known = check_whole(original) & check_whole(again)
        found = runs.diff(original, again)
    except (OSError, ValueError) as error:
        return Verdict(INCOMPARABLE, str(error))
    data = any(name.startswith("data_sha256") for name in found.digests)
    account = str(found)
    if data or found.config.keys() - known:
        return Verdict(INCOMPARABLE, account)
    if found.same:
        return Verdict(IDENTICAL, account)
    if not found.environment.keys() - IRRELEVANT:
        return Verdict(DIFFERENT, f"{account}\nno circumstance in the receipts explains it")
    beyond = not found.results or any(apart.excess > 1 for apart in found.results.values())
    different = found.config or beyond
    return Verdict(DIFFERENT if different else WITHIN, account)


def check_whole(folder: Path) -> set[str]:
    """A run's settings by name; ValueError unless it finished, and its files suit its receipt."""
    inside = contents(folder)
    if "receipt.json" not in inside:
        raise ValueError(f"{folder} is not the folder of a run: it has no receipt.json")
    receipt, config = read_json(folder / "receipt.json"), read_json(folder / "config.json")
    if receipt.get("outcome") != "finished":
        raise ValueError(f"the run did not finish: its outcome is {shown(receipt.get('outcome'))}")
    params = inside.get("params.safetensors")
    there = {
        "config": config,
        "params_sha256": params and sha256(parameters.read(params)[0]),
        **{n: _sha256(path) for n, path in inside.items() if not _is_apart(n)},
    }
    files = receipt.get("files")
    signed: dict[str, JSON] = files if isinstance(files, dict) else {}
    told = {name: receipt.get(name) for name in ("config", "params_sha256")} | signed
    for name in [*there, *signed]:
        if json.dumps(told.get(name), sort_keys=True) != json.dumps(
            there.get(name), sort_keys=True
        ):
            raise ValueError(f"the run's files are not those of its receipt: {name} differs")
    if inside.keys() <= {"config.json", "receipt.json", "report.html"}:
        raise ValueError(f"{folder} holds no results to compare")
    return set(config)


def _is_apart(name: str) -> bool:
    """Whether a file is no part of what a run came to: its receipt, or what it could not remove."""
    return name == "receipt.json" or name.startswith("checkpoints/")


def _sha256(path: Path) -> str:
    if path.suffix != ".safetensors":
        return hashlib.sha256(read_bytes(path)).hexdigest()
    parameters.read(path)  # it ends where it says, and can be read whole
    return hashlib.sha256(path.read_bytes()).hexdigest()


def command(folder: Path) -> list[str]:
    """The words that run again the run in a folder, which may come from anybody.

    Raises ValueError unless the experiment is one of those here, and its settings stay here.
    """
    config, receipt = (read_json(folder / name) for name in ("config.json", "receipt.json"))
    name = receipt.get("experiment")
    if name not in tuple(SHORT):
        raise ValueError(f"its experiment should be one of {', '.join(SHORT)}, got {shown(name)}")
    if name == "notebook" and config != NOTEBOOK:
        raise ValueError(f"its config should be {shown(NOTEBOOK)}, got {shown(config)}")
    words = [] if name == "notebook" else flags(config)
    for path in (Path(word.split("=", 1)[-1]) for word in words):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"its settings should lead to no other folder, got {shown(str(path))}")
    return [*program(name), *words]


def program(name: str) -> list[str]:
    """The words that run an experiment."""
    if name == "notebook":
        return [sys.executable, "-m", "backhand.runs.notebook", str(EXPERIMENTS / "lesson.py")]
    return [sys.executable, str(EXPERIMENTS / f"{name}.py")]


def carry_out(words: Sequence[str], out: Path, data_dir: Path | None) -> Path:
    """Run an experiment silently, with a compilation cache of its own; return its run's folder.

    Raises ValueError, with its last words, if it fails.
    """
    if data_dir is not None and Path(words[1]).stem in DATA:
        words = [*words, f"--data-dir={data_dir.absolute()}"]
    ended = subprocess.run(
        [*words, f"--out={out}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(out / "cache")},
    )  # fmt: skip
    made = list(out.glob("*/*/receipt.json"))
    if ended.returncode or len(made) != 1:
        last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-12:]
        raise ValueError("\n".join([f"it ended with status {ended.returncode}, and said:", *last]))
    return made[0].parent


def reproduce(folder: Path, data_dir: Path | None) -> Verdict:
    """Run again the run in a folder, in a temporary folder, and compare."""
    try:
        check_whole(folder)
        words = command(folder)
        print(f"running again  {printable(shlex.join(words[1:]))}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="backhand-") as out:
            return verdict(folder, carry_out(words, Path(out), data_dir))
    except (OSError, ValueError) as error:
        return Verdict(INCOMPARABLE, str(error))


def reproduce_all(data_dir: Path | None) -> int:
    """Reproduce a short run of every experiment; print a table, return the worst status."""
    rows, worst = [], IDENTICAL
    for name, line in SHORT.items():
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="backhand-") as out:
            try:
                words = [*program(name), *shlex.split(line)]
                found = reproduce(carry_out(words, Path(out), data_dir), data_dir)
            except ValueError as error:
                found = Verdict(INCOMPARABLE, str(error))
        print(f"{name}: {found}", flush=True)
        rows.append((name, WORDS[found.status], f"{time.monotonic() - start:.1f}"))
        if found.status != INCOMPARABLE or name not in OPTIONAL:
            worst = max(worst, found.status, key=(IDENTICAL, WITHIN, INCOMPARABLE, DIFFERENT).index)
    runs.print_table(Table(("experiment", "verdict", "seconds"), rows))
    return worst


def main() -> None:
    """The command line. At Ctrl-C and SIGTERM the run ends, too, and its folder is removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        config = tyro.cli(Config, description=__doc__)
        if config.run is None:
            sys.exit(reproduce_all(config.data_dir))
        found = reproduce(config.run, config.data_dir)
        print(found)
        sys.exit(found.status)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
