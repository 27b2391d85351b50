"""A run's folder: what an experiment was asked, what came out, and the receipt that ties the two.

    config.json          every field of the config
    metrics.jsonl        a line a record, written as it comes
    params.safetensors   the parameters, by path in their tree
    figures/             drawn from the files beside it
    report.html          one page, self-contained
    receipt.json         seed, versions, device, flags, commit, digests of data and parameters

Files are written under a temporary name and renamed when whole, so that none is ever seen half-written;
metrics.jsonl grows by whole lines. Clock and machine get into the receipt, and the report that quotes it,
but into no other file.
"""

import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import jax
import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from backhand import files, report
from backhand.digest import sha256

# Fields that say where things lie on this machine, which is no part of a run.
PLACES = ("out", "data_dir", "resume")
# What a receipt says of one sitting, where a run that was cut short had several.
PER_SITTING = ("versions", "device", "commit", "dirty", "started", "ended", "seconds", "outcome")


class ExperimentConfig(Protocol):
    """What a run needs of an experiment's config, a frozen dataclass: where to make its folder."""

    @property
    def out(self) -> Path:
        """The folder in which the run's own folder is made."""


Config = TypeVar("Config", bound=ExperimentConfig)
Loaded = TypeVar("Loaded")


class RefusedError(ValueError):
    """What was asked for makes no sense with this data; said before any work starts."""


def refusing(load: Callable[..., Loaded], *args: Any) -> Loaded:
    """What `load(*args)` gives; where it raises OSError or ValueError, as for data that is not there, RefusedError."""
    try:
        return load(*args)
    except (OSError, ValueError) as error:
        raise RefusedError(error) from error


class Run:
    """One run's folder, open for writing. `Run.start` makes it."""

    def __init__(self, folder: Path, config: ExperimentConfig, receipt: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.receipt = receipt

    @classmethod
    def start(cls, name: str, config: ExperimentConfig) -> "Run":
        """Make a new folder under `config.out`, named by the time, that no other run shares; write the config.

        Raises OSError where that can't be done.
        """
        now = datetime.now(UTC)
        config.out.mkdir(parents=True, exist_ok=True)
        folder, count = config.out / f"{now:%Y%m%d-%H%M%S}", 1
        while True:
            try:
                folder.mkdir()
                break
            except FileExistsError:
                count += 1
                folder = config.out / f"{now:%Y%m%d-%H%M%S}-{count}"
        fields = {field: _plain(value) for field, value in vars(config).items() if field not in PLACES}
        run = cls(folder, config, _receipt(name, fields))
        run.write_json("config.json", fields)
        return run

    @classmethod
    def resume(cls, name: str, config: ExperimentConfig, folder: Path) -> "Run":
        """Open the folder of a run that was cut short, to go on in it as it was asked to.

        What `config` leaves at its defaults is what it was in that run. What its receipt said, if it came to write
        one, stays in the new one. Raises RefusedError where that folder holds no run of this experiment, or `config`
        asks for something else than it did; OSError where the folder can't be written.
        """
        try:
            stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RefusedError(
                f"resume should be the folder of a run, with its config.json: {error}"
            ) from error
        fields = {field: value for field, value in vars(config).items() if field not in PLACES}
        if not isinstance(stored, dict) or set(stored) != set(fields):
            raise RefusedError(f"resume should be the folder of a run of {name}, got {folder}")
        defaults = vars(type(config)())
        for field, value in fields.items():
            if value != defaults[field] and _plain(value) != stored[field]:
                raise RefusedError(
                    f"{field} was {_plain(stored[field])} in {folder}, got {_plain(value)}; leave it out to go on"
                )
        as_they_were = {field: tuple(v) if isinstance(v, list) else v for field, v in stored.items()}
        try:
            config = replace(config, **as_they_were)  # type: ignore[type-var]
        except (TypeError, ValueError) as error:
            raise RefusedError(f"resume: what {folder} was asked for makes no sense now: {error}") from error
        run = cls(folder, config, _receipt(name, stored))
        # As it is: that the folder can't be written should show before anything is trained.
        run.write_json("config.json", stored)
        if (folder / "receipt.json").exists():
            former = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
            once = {key: value for key, value in former.items() if key in PER_SITTING}
            run.receipt["earlier"] = [*former.get("earlier", []), once]
        lines = folder / "metrics.jsonl"
        if lines.exists() and not (written := lines.read_bytes()).endswith(b"\n"):
            run.write("metrics.jsonl", written[: written.rfind(b"\n") + 1])  # a line was cut short, too
        return run

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the run, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        files.write(path, content.encode() if isinstance(content, str) else content)
        return path

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file of the run."""
        return self.write(name, json.dumps(_plain(content), indent=2, ensure_ascii=False) + "\n")

    def log(self, **record: Any) -> None:
        """Add a line to metrics.jsonl. NaN and infinities, which JSON lacks, become null."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(record)) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl, with NaN where it has null."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [_numbers(json.loads(line)) for line in lines]

    def save_params(self, params: Any) -> None:
        """Write a tree of parameters, with the config, to params.safetensors, and its digest to the receipt."""
        arrays = files.named_arrays(params)
        config = json.dumps(self.receipt["config"], ensure_ascii=False)
        self.write("params.safetensors", files.encode(arrays, config))
        self.receipt["params_sha256"] = sha256(arrays)

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        """Write named arrays to a safetensors file of the run."""
        return self.write(name, files.encode(arrays))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The named arrays of a safetensors file of the run; ValueError where it is damaged."""
        return files.read(self.folder / name)[0]

    def figure(self, stem: str, light: str, dark: str, alt: str) -> str:
        """Keep a picture, in its light theme, under figures/; return it for the report."""
        self.write(f"figures/{stem}.svg", light)
        return report.figure(light, dark, alt)

    def read_json(self, name: str) -> Any:
        """What a JSON file of the run holds, with NaN where it has null."""
        return _numbers(json.loads((self.folder / name).read_text(encoding="utf-8")))

    def facts(self) -> list[tuple[str, str]]:
        """The receipt so far, a pair of words a line, for a reader."""

        def words(value: Any) -> str:
            if isinstance(value, Mapping):
                return ", ".join(f"{key} {words(v)}" for key, v in value.items())
            return " ".join(map(words, value)) if isinstance(value, list | tuple) else str(value)

        return [(key.replace("_", " "), words(value)) for key, value in self.receipt.items()]

    def again(self, line: str | None = None) -> list[str]:
        """A report's last pieces: the command that repeats the run, a make command unless given; what it ran on."""
        return [
            report.heading("Again"),
            report.code(line or command(self.receipt["experiment"], self.config)),
            report.details("Versions, device and digests", report.table(["what", "which"], self.facts())),
        ]

    def finish(self, outcome: str, seconds: float) -> None:
        """Write the receipt."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.write_json(
            "receipt.json", self.receipt | {"ended": ended, "seconds": round(seconds, 3), "outcome": outcome}
        )


def command(name: str, config: ExperimentConfig) -> str:
    """The make command that runs an experiment with this config, whose fields all have defaults, again."""
    defaults = vars(type(config)())

    def word(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return shlex.join(str(_plain(item)) for item in (value if isinstance(value, tuple) else (value,)))

    words = {
        field: word(value)
        for field, value in vars(config).items()
        if value != defaults[field] and field not in PLACES
    }
    return " ".join([f"make {name}", *(f'{field.upper()}="{value}"' for field, value in words.items())])


def main(
    config_type: type[Config],
    experiment: Callable[[Config, Run], None],
    description: str,
    prog: str | None = None,
) -> None:
    """An experiment's command line: flags to config, a run folder, the experiment, the receipt.

    A config that makes no sense, or a folder that can't be written, ends it with a message and status 2
    before anything has run, and leaves no folder but one that was there; Ctrl-C with status 130, after saying
    what was kept. `prog` is how it is called, where that is not `python FILE`.
    """
    name = Path(sys.argv[0]).stem
    args = [word for argument in sys.argv[1:] for word in _words(argument)]
    config = tyro.cli(config_type, args=args, prog=prog or f"python {sys.argv[0]}", description=description)
    resumed = getattr(config, "resume", None)
    try:
        run = Run.start(name, config) if resumed is None else Run.resume(name, config, resumed)
    except RefusedError as error:
        _fail(f"{name}: {error}")
    except OSError as error:
        folder = f"--out {config.out}" if resumed is None else f"--resume {resumed}"
        _fail(f"{name}: {folder} can't be written: {error.strerror or error}")
    start = time.monotonic()
    try:
        experiment(run.config, run)  # type: ignore[arg-type]
    except RefusedError as error:
        if resumed is None:
            shutil.rmtree(run.folder)
        _fail(f"{name}: {error}")
    except KeyboardInterrupt:
        run.finish("interrupted", time.monotonic() - start)
        print(f"\n{name}: interrupted; what was finished is kept in {run.folder}", file=sys.stderr)
        sys.exit(130)
    except BaseException:
        run.finish("failed", time.monotonic() - start)
        raise
    run.finish("finished", time.monotonic() - start)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table, 100 columns wide at most: the first column and a verdict are words, the rest numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column == "verdict" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = min(console.width, 100) if console.is_terminal else 100
    console.print(table)


def _words(argument: str) -> list[str]:
    """Widths may be written with commas, as in --hidden 8,8 or --hidden=8,8; the command line wants 8 8."""
    return re.split("[=,]", argument) if re.fullmatch(r"(--[\w-]+=)?\d+(,\d+)+", argument) else [argument]


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


def _receipt(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a run at its start."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = {"experiment": name, "seed": fields.get("seed"), "config": fields, **_circumstances()}
    return receipt | {"started": started}


def _circumstances() -> dict[str, Any]:
    devices = jax.devices()
    return {
        "flags": _flags(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("backhand", "jax", "jaxlib", "numpy", "optax")},
        "platform": platform.platform(),
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **_commit(),
    }


def _flags() -> list[str]:
    """The command line's words, less what says where things lie."""
    places = {f"--{field.replace('_', '-')}" for field in PLACES}
    flags = [
        word
        for before, word in zip(sys.argv, sys.argv[1:], strict=False)
        if word.split("=")[0] not in places and before not in places
    ]
    return [Path(word).name if Path(word).is_absolute() else word for word in flags]


def _commit() -> dict[str, Any]:
    """The commit of the experiment's file, and whether the tree has changes: None where git can't say."""

    def git(*args: str) -> str | None:
        command = ["git", "-C", str(Path(sys.argv[0]).resolve().parent), *args]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _numbers(value: Any) -> Any:
    """What `_plain` wrote, with NaN for null."""
    if isinstance(value, dict):
        return {key: _numbers(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """The value in JSON's terms, which has null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)  # whose machine it was is nobody's business
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
