"""A run's folder: its settings, its results and its receipt.

    config.json          every field of the config
    metrics.jsonl        a record a line
    results.json         the facts that were kept, by net
    arrays.safetensors   what was kept and is too long for those two, by net and name
    params.safetensors   the parameters, by net and path in its tree
    figures/             the report's figures
    report.html          one self-contained page
    receipt.json         versions, device, commit, digests of data and of every file; outcome
    checkpoints/         of its trainings, until the run is finished

The receipt's outcome is "running" until the run ends, and stays so if the process is killed. Files
are written whole or not at all. Clock and machine are in the receipt, and in the report that quotes
it, and in no other file.
"""

import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np

from backhand.layer import Tree
from backhand.plots.drawing import Drawing
from backhand.reporting import Trained
from backhand.runs.comparison import read_json
from backhand.runs.config import Config, settings
from backhand.runs.receipt import PER_RUN, begun
from backhand.storage import atomic, parameters
from backhand.storage.checkpoints import Checkpoint, Checkpoints
from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON, plain

try:
    import fcntl
except ImportError:  # Windows, where the user must see to it that a run has ended before it resumes
    fcntl = None  # type: ignore[assignment]

LONG = 64  # entries; longer arrays go to arrays.safetensors


class RefusedError(ValueError):
    """The settings make no sense with this data, or in this folder; nothing was done."""


class Run:
    """One run's folder, open for writing. Until `finish` no other process can resume the run.

    Attributes:
      kept: what `keep` was given, by name, in order.
    """

    def __init__(self, folder: Path, config: Config, receipt: dict[str, JSON]) -> None:
        self.folder = folder
        self.config = config
        self.receipt = receipt | {"trainings": {}}
        self.kept: dict[str, Trained] = {}
        self._results: dict[str, dict[str, object]] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._checkpoints: dict[str, Checkpoints] = {}
        self._records: list[dict[str, object]] = []
        self._digests: dict[str, str] = {}  # SHA-256 of each file, as it was written
        self._former: dict[str, JSON] | None = None  # the receipt of a run that was resumed
        self._unlock: Callable[[], object] = lambda: None

    @classmethod
    def start(cls, name: str, config: Config) -> "Run":
        """Make a new folder, OUT/NAME/TIME, that no other run shares, and write the config.

        Raises OSError if that fails, and leaves no folder.
        """
        receipt, parent = begun(name, settings(config)), config.out / name
        parent.mkdir(parents=True, exist_ok=True)
        time = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        for number in count(1):
            folder = parent / (time if number == 1 else f"{time}-{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                break
        run = cls(folder, config, receipt)
        try:
            atomic.sync_folder(parent)
            run._lock(run.write_json("config.json", receipt["config"]))
            run._write_receipt("running")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    @classmethod
    def resume(cls, name: str, config: Config, folder: Path) -> "Run":
        """Open the folder of a run that was stopped. Its receipts stay, in the new one.

        Raises RefusedError if it is not a run of this experiment with these settings, or it is
        finished, or still running in another process; OSError if the folder can't be written.
        """
        stored = stored_settings(name, config, folder)
        for field, value in settings(config).items():
            path = getattr(config, field)  # of a file outside the working folder the name is stored
            if value != stored[field] and getattr(path, "name", value) != stored[field]:
                raise RefusedError(
                    f"{field} was {stored[field]} in {folder}, got {value}; leave it out to resume"
                )
        run = cls(folder, config, begun(name, stored))
        try:
            run._lock(folder / "config.json")
        except BlockingIOError as error:
            raise RefusedError(f"{folder}: the run is still running, in another process") from error
        for path in folder.rglob("*".join(atomic.PARTIAL)):  # the process before was killed
            path.unlink(missing_ok=True)
        run._former = former = _receipt(folder)
        if former.get("outcome") == "finished":
            run._unlock()
            raise RefusedError(f"{folder} is finished; nothing is left to do")
        if former:
            once = {key: value for key, value in former.items() if key not in PER_RUN}
            if once.get("outcome") == "running":  # it could not say how it ended
                once["outcome"] = "killed"
            run.receipt["earlier"] = [*former.get("earlier", []), once]
        run._digests["config.json"] = _sha256((folder / "config.json").read_bytes())
        if "data_sha256" in former:
            run.receipt["data_sha256"] = former["data_sha256"]
        run._write_receipt("running")
        return run

    def withdraw(self) -> None:
        """Undo `start` or `resume`: remove a new folder, or restore the receipt of an old one."""
        if self._former is None:
            shutil.rmtree(self.folder)
        else:
            self.write_json("receipt.json", self._former)
        self._unlock()

    def data(self, digest: str | list[str]) -> None:
        """Record the data's SHA-256; RefusedError if the run was started with different data."""
        former = self.receipt.get("data_sha256", digest)
        if former != digest:
            raise RefusedError(
                f"{self.folder} was started with different data: SHA-256 was {former}, now {digest}"
            )
        self.receipt["data_sha256"] = digest
        self._write_receipt("running")

    def keep(
        self,
        name: str,
        params: Tree = None,
        history: Mapping[str, np.ndarray] | None = None,
        **facts: object,
    ) -> Trained:
        """Keep a trained net, or other results, under a name; log its history, a record an epoch.

        Arrays of a history are (epochs, …), or (nets, epochs, …) if none has just one axis. Facts
        are values that JSON can hold, or arrays. How long something took differs from run to run:
        what is called `seconds` or `times`, or is in a mapping called so, is never compared.
        """
        if name in self.kept:
            raise ValueError(f"keep: name should be new, got {name!r} again")
        history = dict(history or {})
        self.kept[name] = trained = Trained(name, params, history, facts)
        arrays = {k: v for k, v in facts.items() if isinstance(v, np.ndarray) and v.size > LONG}
        self._results[name] = {key: value for key, value in facts.items() if key not in arrays}
        axis = 0 if any(a.ndim == 1 for a in history.values()) else 1
        arrays |= {k: a for k, a in history.items() if a.size > LONG * a.shape[axis]}
        records = {k: np.moveaxis(a, axis, 0) for k, a in history.items() if k not in arrays}
        self._arrays |= {f"{name}.{key}": a for key, a in arrays.items()}
        for epoch in range(max(map(len, records.values()), default=0)):
            self.log(net=name, epoch=epoch + 1, **{key: a[epoch] for key, a in records.items()})
        return trained

    def save_kept(self) -> None:
        """Write what was kept to results.json, arrays.safetensors and params.safetensors."""
        self._settle()
        self.write_json("results.json", self._results)
        if self._arrays:
            self.write("arrays.safetensors", parameters.encode(self._arrays))
        params = {net.name: net.params for net in self.kept.values() if net.params is not None}
        if params:
            named = parameters.named_arrays(params)
            text = json.dumps(self.receipt["config"], ensure_ascii=False)
            self.write("params.safetensors", parameters.encode(named, text))
            self.receipt["params_sha256"] = sha256(named)

    def checkpoints(self, name: str) -> Checkpoints:
        """The checkpoints of one of the run's trainings, for `fit`, until the run is finished.

        When a resumed run calls `fit` again it continues from the newest, or returns at once if the
        training was done. The receipt says how each ended.
        """
        self._settle()
        config = {"training": name, "data_sha256": self.receipt.get("data_sha256")}
        folder = self.path(f"checkpoints/{name}")
        self._checkpoints[name] = Checkpoints(folder, config | self.receipt["config"])
        return self._checkpoints[name]

    def log(self, **record: object) -> None:
        """Add a record to metrics.jsonl, which `finish` writes; NaN and infinity become null."""
        self._records.append(record)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the run, whole or not at all; OSError that names it if that fails."""
        path = self.path(name)
        if path.parent != self.folder and not path.parent.exists():
            path.parent.mkdir()
            atomic.sync_folder(self.folder)
        content = content.encode() if isinstance(content, str) else content
        atomic.write(path, content)
        self._digests[name] = _sha256(content)
        return path

    def write_json(self, name: str, content: object) -> Path:
        """Write a JSON file of the run; NaN and infinity become null."""
        return self.write(name, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> JSON:
        """The content of a JSON file of the run."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def figure(self, stem: str, drawing: Drawing, wide: bool = False) -> str:
        """Keep a drawing as figures/STEM.svg; return its HTML for the report."""
        self.write(f"figures/{stem}.svg", drawing.svg)
        return drawing.html(wide)

    def finish(self, outcome: str, seconds: float) -> None:
        """Write metrics and receipt, remove a finished run's checkpoints, let go of the folder."""
        try:
            if self._records:
                lines = (f"{json.dumps(plain(record))}\n" for record in self._records)
                self.write("metrics.jsonl", "".join(lines))
            self._settle()
            files = self._digests.items()
            self.receipt["files"] = {name: d for name, d in sorted(files) if name != "receipt.json"}
            ended = datetime.now(UTC).isoformat(timespec="seconds")
            self._write_receipt(outcome, ended=ended, seconds=round(seconds, 3))
            if outcome == "finished":
                shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        finally:
            self._unlock()

    def path(self, name: str) -> Path:
        """The path of a file of the run; ValueError if that is not in the folder."""
        path = self.folder / name
        if self.folder.resolve() not in path.resolve().parents:  # follows links, too
            raise ValueError(f"name should be that of a file in the run's folder, got {name!r}")
        return path

    def _lock(self, file: Path) -> None:
        """Lock the run's config while the run is open; BlockingIOError if it is elsewhere."""
        descriptor = os.open(file, os.O_RDWR)  # to write, without which NFS does not lock
        self._unlock = weakref.finalize(self, os.close, descriptor)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # a file system without locks is like Windows
            if isinstance(error, BlockingIOError):
                raise

    def _settle(self) -> None:
        """Note in the receipt how far trainings came, and let go of their checkpoints."""
        for name, checkpoints in list(self._checkpoints.items()):
            if checkpoints.latest is not None:
                self.receipt["trainings"][name] = _ending(checkpoints.latest)
                del self._checkpoints[name]

    def _write_receipt(self, outcome: str, **ending: JSON) -> None:
        self.write_json("receipt.json", self.receipt | ending | {"outcome": outcome})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ending(checkpoint: Checkpoint) -> dict[str, JSON]:
    """How far a training came, and digests of where it is."""
    ending: dict[str, JSON] = {"step": checkpoint.step}
    for part in ("params", "opt_state"):
        own = {k: a for k, a in checkpoint.arrays.items() if k.startswith(f"state.{part}")}
        ending[f"{part}_sha256"] = sha256(own)
    return ending


def stored_settings(name: str, config: Config, folder: Path) -> dict[str, JSON]:
    """The settings of a run of this experiment, from its folder; RefusedError if it is not one."""
    stored = _read(folder, "config.json")
    ours = _receipt(folder).get("experiment", name) == name
    if stored.keys() != settings(config).keys() or not ours:
        raise RefusedError(f"resume should be the folder of a run of {name}, got {folder}")
    return stored


def _receipt(folder: Path) -> dict[str, JSON]:
    """A run's receipt; empty if it was killed before it had one."""
    return _read(folder, "receipt.json") if (folder / "receipt.json").exists() else {}


def _read(folder: Path, name: str) -> dict[str, JSON]:
    try:
        return read_json(folder / name)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"resume should be the folder of a run, with its {name}: {error}"
        ) from error
