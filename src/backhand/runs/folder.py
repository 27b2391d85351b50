"""A run's folder: what an experiment was asked, what came out, and the receipt that ties the two.

    config.json          every field of the config
    metrics.jsonl        a line a record, written as it comes
    params.safetensors   the parameters, by path in their tree
    figures/             drawn from the files beside it
    report.html          one page, self-contained
    receipt.json         seed, versions, device, flags, commit, digests of data and parameters; how it ended
    checkpoints/         of its trainings, until it is finished

While a run goes on, its receipt says that it is "running"; so does that of one that was killed.

Files are written under a temporary name and renamed when whole, so that none is ever seen half-written;
metrics.jsonl grows by whole lines. Clock and machine get into the receipt, and the report that quotes it,
but into no other file.
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from backhand.reporting import page as report
from backhand.runs.lock import Lock, lock
from backhand.runs.receipt import PER_SITTING, PLACES, begun
from backhand.runs.trainings import TrainingCheckpoints
from backhand.storage import parameters as files
from backhand.storage.digests import sha256
from backhand.storage.json_values import numbers, plain


class ExperimentConfig(Protocol):
    """What a run needs of an experiment's config, a frozen dataclass: where to make its folder."""

    @property
    def out(self) -> Path:
        """The folder in which the run's own folder is made."""


Config = TypeVar("Config", bound=ExperimentConfig)
Loaded = TypeVar("Loaded")


class RefusedError(ValueError):
    """What was asked for makes no sense with this data; said before any work starts."""


class FolderError(OSError):
    """The run's folder can't take a file, as on a full disk, or is gone; the message says so in a user's words."""


def refusing(load: Callable[..., Loaded], *args: Any) -> Loaded:
    """What `load(*args)` gives; where it raises OSError or ValueError, as for data that is not there, RefusedError."""
    try:
        return load(*args)
    except (OSError, ValueError) as error:
        raise RefusedError(error) from error


class Run:
    """One run's folder, open for writing: `Run.start` makes it, and until `finish` no other process goes on in it."""

    def __init__(self, folder: Path, config: ExperimentConfig, receipt: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.receipt = receipt
        self.lines: list[str] = []  # of metrics.jsonl, as this process wrote them
        self._trained: dict[str, dict[str, Any]] = {}
        self._lock: Lock | None = None
        self._before: dict[str, bytes] | None = None  # of a run that goes on, what `resume` changed

    @classmethod
    def start(cls, name: str, config: ExperimentConfig) -> "Run":
        """Make a new folder under `config.out`, named by the time, that no other run shares; write the config.

        Raises OSError where that can't be done, and leaves no folder.
        """
        fields = {field: plain(value) for field, value in vars(config).items() if field not in PLACES}
        receipt, now = begun(name, fields), datetime.now(UTC)
        config.out.mkdir(parents=True, exist_ok=True)
        folder, count = config.out / f"{now:%Y%m%d-%H%M%S}", 1
        while True:
            try:
                folder.mkdir()
                break
            except FileExistsError:
                count += 1
                folder = config.out / f"{now:%Y%m%d-%H%M%S}-{count}"
        run = cls(folder, config, receipt)
        try:
            files.sync_folder(config.out)
            run._lock = lock(run.write_json("config.json", fields))
            run._write_receipt("running")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    @classmethod
    def resume(cls, name: str, config: ExperimentConfig, folder: Path, said: Collection[str] = ()) -> "Run":
        """Open the folder of a run that was cut short, to go on in it as it was asked to.

        What `config` leaves at its defaults is what it was in that run, except for fields that were `said`. What its
        receipt said stays in the new one; metrics.jsonl begins anew, and what goes on logs its records again.

        Raises RefusedError where that folder holds no run of this experiment, or one that is finished or still going
        on in another process, or `config` asks for something else than it did; OSError where it can't be written.
        """
        stored = _read(folder, "config.json")
        try:
            held = lock(folder / "config.json")
        except BlockingIOError as error:
            raise RefusedError(f"{folder}: the run is still going on, in another process") from error
        fields = {field: value for field, value in vars(config).items() if field not in PLACES}
        former = _read(folder, "receipt.json") if (folder / "receipt.json").exists() else {}
        if set(stored) != set(fields) or former.get("experiment", name) != name:
            raise RefusedError(f"resume should be the folder of a run of {name}, got {folder}")
        defaults = vars(type(config)())
        # A file's name may be all that was stored of it: where it lies is for now to say.
        again = {
            field
            for field, value in fields.items()
            if plain(value) == stored[field] or (isinstance(value, Path) and value.name == stored[field])
        }
        for field, value in fields.items():
            if (field in said or value != defaults[field]) and field not in again:
                raise RefusedError(
                    f"{field} was {plain(stored[field])} in {folder}, got {plain(value)}; leave it out to go on"
                )
        as_they_were = {
            field: fields[field] if field in again else tuple(v) if isinstance(v, list) else v
            for field, v in stored.items()
        }
        try:
            config = replace(config, **as_they_were)  # type: ignore[type-var]
        except (TypeError, ValueError) as error:
            raise RefusedError(f"resume: what {folder} was asked for makes no sense now: {error}") from error
        if former.get("outcome") == "finished":
            raise RefusedError(f"{folder} is finished; nothing is left to do")
        run = cls(folder, config, begun(name, stored))
        run._lock = held
        if former:
            once = {key: value for key, value in former.items() if key in PER_SITTING}
            if once.get("outcome") == "running":  # it could not say how it ended
                once["outcome"] = "killed"
            run.receipt["earlier"] = [*former.get("earlier", []), once]
        if "data_sha256" in former:
            run.receipt["data_sha256"] = former["data_sha256"]
        paths = [folder / "receipt.json", folder / "metrics.jsonl"]
        run._before = {path.name: path.read_bytes() for path in paths if path.exists()}
        run._write_receipt("running")
        if "metrics.jsonl" in run._before:
            run.write("metrics.jsonl", "")
        return run

    def withdraw(self) -> None:
        """Leave all as it was before: no folder, where the run is new; else the receipt and metrics that it had."""
        if self._before is None:
            shutil.rmtree(self.folder)
            return
        for name in ("receipt.json", "metrics.jsonl"):
            if name in self._before:
                self.write(name, self._before[name])
            else:
                (self.folder / name).unlink(missing_ok=True)

    def data(self, digest: str | list[str]) -> None:
        """Say which data the run is about, by SHA-256; RefusedError where it was begun with other data."""
        former = self.receipt.get("data_sha256", digest)
        if former != digest:
            raise RefusedError(
                f"{self.folder} was begun with other data than now: their SHA-256 was {former}, and is {digest}"
            )
        self.receipt["data_sha256"] = digest
        self._write_receipt("running")

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the run, whole or not at all.

        This and all that follows raises FolderError where the folder can't take it, and ValueError where `name` leads
        out of the folder.
        """
        with self.writing(name) as path:
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
                files.sync_folder(self.folder)
            files.write(path, content.encode() if isinstance(content, str) else content)
        return path

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file of the run."""
        return self.write(name, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")

    def log(self, **record: Any) -> None:
        """Add a line to metrics.jsonl, whole or not at all. NaN and infinities, which JSON lacks, become null.

        It outlasts the process at once, and a power cut from `finish` on.
        """
        self.log_line(json.dumps(plain(record)))

    def log_line(self, line: str) -> None:
        """Add a record that is a line already."""
        rest = f"{line}\n".encode()
        with self.writing("metrics.jsonl") as path, path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                while rest:  # a disk that is almost full takes a part
                    rest = rest[file.write(rest) :]
            except BaseException:
                file.truncate(end)
                raise
        self.lines.append(line)

    def checkpoints(self, name: str) -> TrainingCheckpoints:
        """The checkpoints of one of the run's trainings, for `fit`; once it is done, the last is kept.

        A run that goes on takes up each training where it was, and logs again what was logged of it. What else
        `on_epoch` leaves for later is to be in files. Once the run is finished, the checkpoints go.
        """
        return TrainingCheckpoints(self, name)

    def trained(self, name: str) -> dict[str, Any]:
        """What the receipt is to say of a training of this name, which has none yet: by which program, to which end."""
        return self._trained.setdefault(name, {})

    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl, with NaN where it has null."""
        path = self.path("metrics.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [numbers(json.loads(line)) for line in lines]

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
        return files.read(self.path(name))[0]

    def figure(self, stem: str, light: str, dark: str, alt: str) -> str:
        """Keep a picture, in its light theme, under figures/; return it for the report."""
        self.write(f"figures/{stem}.svg", light)
        return report.figure(light, dark, alt)

    def read_json(self, name: str) -> Any:
        """What a JSON file of the run holds, with NaN where it has null."""
        return numbers(json.loads(self.path(name).read_text(encoding="utf-8")))

    def facts(self) -> list[tuple[str, str]]:
        """The receipt so far, a pair of words a line, for a reader."""

        def words(value: Any) -> str:
            if isinstance(value, Mapping):
                return ", ".join(f"{key} {words(v)}" for key, v in value.items()) or "none"
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
        """Write the receipt, and let go of the folder."""
        with self.writing("metrics.jsonl") as path:
            if path.exists():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
                    self.receipt["metrics_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        self.receipt["trainings"] = {name: said for name, said in self._trained.items() if said}
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_receipt(outcome, ended=ended, seconds=round(seconds, 3))
        if outcome == "finished":
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        self._lock = None

    def _write_receipt(self, outcome: str, **ending: Any) -> None:
        self.write_json("receipt.json", self.receipt | ending | {"outcome": outcome})

    def path(self, name: str) -> Path:
        """Where a file of the run lies."""
        path, folder = self.folder / name, self.folder.resolve()
        if folder not in path.resolve().parents:  # links followed, too
            raise ValueError(f"name should be that of a file in the run's folder, got {name!r}")
        if not folder.is_dir():
            raise FolderError(f"{self.folder} is gone: it was removed while the run was going on")
        return path

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """While a file or folder of this name is written: OSError becomes FolderError, which names it."""
        path, before = self.path(name), sys.exception()
        try:
            yield path
        except OSError as error:
            error.__context__ = before  # closing the file tries in vain again, which says nothing more
            raise FolderError(f"{path} can't be written: {reason(error)}") from error


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"{name} holds no fields")
    except (OSError, ValueError) as error:
        raise RefusedError(f"resume should be the folder of a run, with its {name}: {error}") from error
    return content


def reason(error: OSError) -> str:
    """Why, in words that can follow a colon: no space left on device."""
    if isinstance(error, FileExistsError):
        return "a file is there, and no folder"
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


def going_on(name: str, run: Run) -> str:
    """The make command that goes on with a run of an experiment whose config has `resume`."""
    paths = {field: path for field, path in vars(run.config).items() if isinstance(path, Path)}
    said = {"resume": run.folder} | {
        field: path for field, path in paths.items() if field not in ("out", "resume")
    }
    words = {field.upper(): shlex.quote(str(path)) for field, path in said.items()}
    quoted = {field: f'"{word}"' if word.startswith("'") else word for field, word in words.items()}
    return " ".join([f"make {name}", *(f"{field}={word}" for field, word in quoted.items())])


def command(name: str, config: ExperimentConfig) -> str:
    """The make command that runs an experiment with this config, whose fields all have defaults, again."""
    defaults = vars(type(config)())

    def word(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return shlex.join(str(plain(item)) for item in (value if isinstance(value, tuple) else (value,)))

    words = {
        field: word(value)
        for field, value in vars(config).items()
        if value != defaults[field] and field not in PLACES
    }
    return " ".join([f"make {name}", *(f'{field.upper()}="{value}"' for field, value in words.items())])
