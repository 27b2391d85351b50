"""Does a run come out again? Run it anew from its receipt, and hold the two against each other.

`make reproduce RUN=runs/lab/…` leaves nothing behind and says one of: bitwise identical (status 0); different (1);
cannot be compared (2), as where data are not there or the run did not finish; same within t (3), and what explains
that it is not the same: where nothing does, it is different. Make itself ends with 2 at any but the first, and says
which it was: `Error 3`. `make reproduce-all` does so for a short run of every experiment; its status is that of the
worst.

The t of an array is √ε of its dtype, of its largest magnitude: half the digits that the dtype carries, 3.5e-4 in
float32. Sums taken in another order change the last digit; a training carries that on, and where it converges
as it should, to some last digits more. Where the loss is all but 0, Adam divides one rounding by another and moves
weights by as much as learning would: such a run on another machine is different, and is called so. A number of
metrics.jsonl or another JSON file may be as far off in units of its size, or of 1.
"""

import hashlib
import json
import math
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import tyro

from backhand import runs
from backhand.runs.comparison import (
    Apart,
    contents,
    far,
    printable,
    read_bytes,
    read_json,
    shown,
    some,
)
from backhand.runs.receipt import PLACES
from backhand.storage import parameters as files
from backhand.storage.digests import sha256

EXPERIMENTS = Path(__file__).resolve().parent
DATA = ("lab", "mnist", "lecun")  # have --data-dir
RESULTS = (".safetensors", ".json", ".jsonl", ".ipynb")
# Which CPUs, of equal number and kind, is all one; the source says more than the commit it is near.
EXPLAIN_NOTHING = {"affinity", "commit", "dirty"}
NEEDS_DATA = ("lecun",)  # that may not be on this machine; the others' short runs do without
IDENTICAL, DIFFERENT, INCOMPARABLE, WITHIN = range(4)
WORDS = ("bitwise identical", "different", "cannot be compared", "same within t")

# A short run of every experiment: some seconds, but for the lesson, verify and mutants, which have little to leave out.
SHORT = {
    "lab": "--hidden 16 8 --epochs 3",
    "planar": "--hidden 8 --epochs 5 --seeds 2 --size 60",
    "regression": "--hidden 8 --epochs 5 --seeds 2 --size 40",
    "overfitting": "--widths 2 4 --depths 1 --sizes 10 20 --resamples 3 --epochs 10 --held-out 20",
    "losses": "",
    "explain": "",
    "mnist": "--dataset digits --hidden 8 --activations tanh relu --seeds 2 --epochs 2",
    "lecun": "--rows linear --seeds 1 --epochs 1 --score validation",
    "verify": "",
    "mutants": "--every 1000",
    "bench": "--hidden 16 8 --examples 1000 --rounds 2",
    "costs": "--batch 16 --rounds 2",
    "notebook": "",
}
NAMES = tuple(sorted(SHORT.keys() - {"notebook"}))


@dataclass(frozen=True)
class Config:
    """What to run again."""

    run: Path | None = None
    """The folder of a run, such as runs/lab/20260704-120000."""
    all: bool = False
    """Make a short run of every experiment first, and reproduce that."""
    data_dir: Path | None = None
    """Where TensorFlow Datasets' downloads/ are; without it TFDS_DATA_DIR, or ~/tensorflow_datasets."""


class Verdict(NamedTuple):
    """What came of it, and why."""

    status: int
    """The exit status: IDENTICAL, DIFFERENT, INCOMPARABLE or WITHIN."""
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return printable("\n".join([WORDS[self.status], *(f"  {reason}" for reason in self.reasons)]))


class IncomparableError(ValueError):
    """A run that can't be run again, or whose files are not those of its receipt."""


def verdict(original: Path, again: Path) -> Verdict:
    """Hold the run of a folder against its rerun."""
    try:
        for folder in (original, again):
            whole(folder)
        found = runs.diff(original, again)
    except (OSError, ValueError) as error:
        return Verdict(INCOMPARABLE, (str(error),))
    conditions = differing(found.environment)
    if "experiment" in found.config:
        return Verdict(INCOMPARABLE, differing({"experiment": found.config["experiment"]}))
    if fields := set(read_json(original / "config.json")) ^ set(read_json(again / "config.json")):
        return Verdict(INCOMPARABLE, (f"not both know these settings: {', '.join(sorted(fields))}",))
    data = {name: both for name, both in found.digests.items() if name.startswith("data_sha256")}
    if data:
        return Verdict(INCOMPARABLE, differing(data))
    if found.same:
        return Verdict(IDENTICAL, conditions)
    metrics = {f"metrics.{name}": apart for name, apart in found.metrics.items()}
    measured = {**found.arrays, **metrics, **found.results}
    beyond = {name: apart for name, apart in measured.items() if excess(apart) > 1}
    steps = {name: both for name, both in found.digests.items() if name.endswith(".step")}
    reasons = [*differing({**found.config, **steps}), *some(found.missing), *distances(beyond)]
    if not measured and not reasons:  # an optimizer's state, which no file holds
        reasons = [*differing(found.digests)]
    if not reasons and not set(found.environment) - EXPLAIN_NOTHING:
        reasons = [*distances(measured), "no circumstance that the receipts tell explains it"]
    if reasons:
        return Verdict(DIFFERENT, (*reasons, *conditions))
    return Verdict(WITHIN, (*distances(found.arrays or measured)[:1], *conditions))


def excess(apart: Apart) -> float:
    """How many t apart; of JSON's numbers, in units of their size, or of 1."""
    size = min(apart[:2]) if apart.dtype == "number" else apart.relative
    return size / tolerance(apart) if tolerance(apart) else math.inf


def tolerance(apart: Apart) -> float:
    """t: √ε of the dtype, and 0 where there is no rounding."""
    dtype = "float32" if apart.dtype == "number" else apart.dtype
    if dtype == "words" or not jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
        return 0.0
    return math.sqrt(jnp.finfo(dtype).eps)


def differing(values: Mapping[str, tuple[Any, Any]]) -> tuple[str, ...]:
    """What was so in the run, and is otherwise in its rerun, in words."""
    return tuple(f"{name} was {shown(a)}, is {shown(b)}" for name, (a, b) in values.items())


def distances(measured: Mapping[str, Apart]) -> list[str]:
    """How far what is apart is apart, the furthest first, in words."""
    furthest = sorted(measured, key=lambda name: -excess(measured[name]))
    return some([f"{name}: {far(measured[name])}; t is {tolerance(measured[name]):.1e}" for name in furthest])


def whole(folder: Path) -> None:
    """Raise IncomparableError where a run did not finish, or its files are not those of its receipt."""
    if not folder.is_dir():
        raise IncomparableError(f"{folder} is no folder")
    inside = contents(folder)
    if "receipt.json" not in inside:
        raise IncomparableError(f"{folder} has no receipt.json: no run")
    receipt, config = read_json(folder / "receipt.json"), read_json(folder / "config.json")
    outcome = receipt.get("outcome")
    if outcome != "finished":
        raise IncomparableError(f"the run did not finish: its outcome is {shown(outcome)}")
    if not same(receipt.get("config"), config) or not same(receipt.get("seed"), config.get("seed")):
        raise IncomparableError("the run's files are not those of its receipt: config.json says otherwise")
    if (kept := params_sha256(inside)) is None and "params_sha256" in receipt:
        raise IncomparableError("the run's files are not those of its receipt: its parameters are gone")
    if kept != receipt.get("params_sha256"):
        raise IncomparableError("the run's files are not those of its receipt: its parameters are others")
    lines = inside.get("metrics.jsonl")
    # Runs of old have no digest of it.
    digest = None if lines is None else hashlib.sha256(read_bytes(lines)).hexdigest()
    if receipt.get("metrics_sha256", digest) != digest:
        raise IncomparableError("the run's files are not those of its receipt: metrics.jsonl is another")
    if not any(name.endswith(RESULTS) for name in inside.keys() - {"config.json", "receipt.json"}):
        raise IncomparableError(f"{folder} holds no results that could be compared")


def params_sha256(inside: Mapping[str, Path]) -> str | None:
    """The digest of a run's parameters: of params.safetensors, or of the digests of nets that it keeps one by one."""
    if "params.safetensors" in inside:
        return sha256(files.read(inside["params.safetensors"])[0])
    nets = {path.stem: path for name, path in inside.items() if fnmatchcase(name, "nets/*.safetensors")}
    digests = {
        stem: np.frombuffer(bytes.fromhex(sha256(files.read(path)[0])), np.uint8)
        for stem, path in nets.items()
        if not stem.endswith("-said")
    }
    return sha256(digests) if digests else None


def same(a: Any, b: Any) -> bool:
    """Whether two values of JSON are the same, where True is not 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def command(folder: Path, data_dir: Path | None) -> tuple[list[str], Path]:
    """The words that run again the run of a folder, and where; IncomparableError where nobody should.

    The folder may be anybody's: its experiment is one of those here, its settings are flags of that, none of which
    names a place, and a file that it names lies here.
    """
    receipt = read_json(folder / "receipt.json")
    name, config = receipt.get("experiment"), read_json(folder / "config.json")
    if name == "notebook":
        notebook = config.get("notebook")
        if notebook not in ("lesson.py", "experiments/lesson.py") or len(config) > 1:
            raise IncomparableError(f"of notebooks only lesson.py is run again, got {shown(config)}")
        here = (EXPERIMENTS / "lesson.py").parents[len(Path(notebook).parts) - 1]
        return [sys.executable, "-m", "backhand.runs.notebook", notebook], here
    if name not in NAMES:
        raise IncomparableError(f"its experiment should be one of {', '.join(NAMES)}, got {shown(name)}")
    words = [sys.executable, str(EXPERIMENTS / f"{name}.py"), *flags(config)]
    if data_dir is not None and name in DATA:
        words.append(f"--data-dir={data_dir.absolute()}")
    return words, Path.cwd()


def flags(config: Mapping[str, Any]) -> list[str]:
    """Every field of a config as a flag; IncomparableError for what no experiment's config could be."""
    words = []
    for field, value in config.items():
        flag = f"--{field.replace('_', '-')}"
        items = value if isinstance(value, list) else [value]
        if not field.isidentifier() or field in PLACES or not all(map(plain, items)):
            raise IncomparableError(f"its config should hold settings, got {shown({field: value})}")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words.append(f"{flag}={value}")
    return words


def plain(value: Any) -> bool:
    """Whether a setting is a number, or a word that is neither a flag nor the way to a file that lies elsewhere."""
    if not isinstance(value, str):
        return value is None or isinstance(value, bool | int | float)
    return not (value.startswith("-") or Path(value).is_absolute() or ".." in Path(value).parts)


def carried_out(words: Sequence[str], here: Path, out: Path) -> Path:
    """Run an experiment, silently; the folder that it made in `out`. IncomparableError, with its words, if it fails."""
    ended = subprocess.run(
        [*words, f"--out={out}"],
        cwd=here,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    made = list(out.glob("*/receipt.json"))
    if ended.returncode or len(made) != 1:
        said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-12:]
        raise IncomparableError("\n  ".join([f"it ended with status {ended.returncode}, and said:", *said]))
    return made[0].parent


def reproduce(folder: Path, data_dir: Path | None) -> Verdict:
    """Run again the run of a folder, in a temporary one, and hold the two against each other."""
    try:
        whole(folder)
        words, here = command(folder, data_dir)
        print(f"running again  {printable(shlex.join(words[1:]))}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="backhand-") as out:
            return verdict(folder, carried_out(words, here, Path(out)))
    except (OSError, ValueError) as error:
        return Verdict(INCOMPARABLE, (str(error),))


def reproduce_all(data_dir: Path | None) -> int:
    """Make a short run of every experiment, and reproduce it; print a table. The worst status of all."""
    rows, worst = [], IDENTICAL
    for name, line in SHORT.items():
        start = time.monotonic()
        module = ["-m", "backhand.runs.notebook", str(EXPERIMENTS / "lesson.py")]
        words = [sys.executable, *(module if name == "notebook" else [str(EXPERIMENTS / f"{name}.py")])]
        words += shlex.split(line)
        words += [f"--data-dir={data_dir.absolute()}"] if data_dir is not None and name in DATA else []
        with tempfile.TemporaryDirectory(prefix="backhand-") as out:
            try:
                found = reproduce(carried_out(words, EXPERIMENTS, Path(out)), data_dir)
            except IncomparableError as error:
                if name in NEEDS_DATA:
                    print(printable(f"{name}: left out: {error}"), flush=True)
                    rows.append((name, "left out: no data", ""))
                    continue
                found = Verdict(INCOMPARABLE, (str(error),))
        print(f"{name}: {found}", flush=True)
        rows.append((name, WORDS[found.status], f"{time.monotonic() - start:.1f}"))
        worst = max(worst, found.status, key=(IDENTICAL, WITHIN, INCOMPARABLE, DIFFERENT).index)
    runs.print_table(("experiment", "verdict", "seconds"), rows)
    return worst


def main() -> None:
    """The command line. At Ctrl-C and SIGTERM what it runs ends with it, and the temporary folder goes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(status(tyro.cli(Config, description=__doc__)))
    except KeyboardInterrupt:
        sys.exit(130)


def status(config: Config) -> int:
    """Do what was asked for, and print what came of it; the exit status."""
    if config.all == (config.run is not None):
        print(
            "reproduce: give the folder of a run, as --run runs/lab/20260704-120000, or --all",
            file=sys.stderr,
        )
        return INCOMPARABLE
    if config.run is None:
        return reproduce_all(config.data_dir)
    found = reproduce(config.run, config.data_dir)
    print(found)
    return found.status


if __name__ == "__main__":
    main()
