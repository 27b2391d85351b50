"""Checkpoints: what a training needs to resume as if it had never stopped.

Each is one safetensors file, named by the number of steps taken, written whole or not at all, with
a digest that shows any damage.
"""

import json
import os
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backhand.checks import shown
from backhand.storage import atomic, parameters
from backhand.storage.json_values import JSON, as_json

KEEP = 2  # of the newest are kept
SHARE = 0.02  # of the time may go into writing checkpoints
SUFFIX = ".safetensors"


class Checkpoint(NamedTuple):
    """Where a training is: a value that the training loop makes and hands down.

    step: how many steps were taken.
    arrays: everything that resuming needs, by name.
    facts: the rest of it, in JSON's terms.
    score: of two checkpoints, the one with the lower score is the better; None if there is none.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, JSON]
    score: float | None = None


class MismatchError(ValueError):
    """The checkpoints in a folder belong to a different training; the message says what differs."""


class Checkpoints:
    """The checkpoints of one training, in a folder: the newest ones, and the one that scores best.

    `fit(…, checkpoints=Checkpoints("folder"))` writes them, and resumes from the newest if there is
    one. They are written while training continues, and take about 2 % of its time.

    Attributes:
      latest: the last checkpoint that was saved or read; None before the first.
    """

    def __init__(
        self, folder: str | os.PathLike[str], config: Mapping[str, JSON] | None = None
    ) -> None:
        """Name the folder; nothing is read or written yet.

        config: identifies the training; checkpoints with a different one are refused. Raises
          TypeError if JSON can't hold it.
        """
        self.folder = Path(folder).absolute()
        self.config = json.loads(as_json("Checkpoints", config or {}))
        self.latest: Checkpoint | None = None
        self._scores: dict[int, float] = {}  # by step, of the checkpoints that have one
        self._writer = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None  # by the writer, last
        self._began, self._seconds = time.monotonic(), 0.1  # the last one: its start, its duration

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None if there is none.

        Renames damaged ones, with a warning that names them. Raises MismatchError if the newest has
        a different config, OSError if the folder can't be read, and ImportError if safetensors is
        missing.
        """
        parameters.safetensors()  # before work starts that could not be kept
        newest = None
        for step, path in reversed(self._paths().items()):
            try:
                arrays, text = parameters.read(path)
                if "facts" not in text:
                    raise ValueError("it is not a checkpoint")
            except ValueError as error:
                aside = path.rename(path.with_name(f"damaged-{path.stem}-{time.time_ns()}"))
                warnings.warn(
                    f"checkpoint {path} is damaged ({error}): it is not used, and now called "
                    f"{aside.name}",
                    stacklevel=4,  # where fit was called
                )
                continue
            if text["score"] is not None:
                self._scores[step] = text["score"]
            if newest is None:
                newest = Checkpoint(step, arrays, text["facts"], text["score"])
                self.check("config", text["config"], self.config)
        self.latest = newest
        return newest

    def check(self, what: str, there: Mapping[str, JSON], now: Mapping[str, JSON]) -> None:
        """Raise MismatchError that says what differs, unless the checkpoints belong to `now`."""
        differences = "; ".join(
            f"{name} was {shown(there.get(name))}, and is {shown(now.get(name))}"
            for name in sorted({*there, *now})
            if there.get(name) != now.get(name)
        )
        if differences:
            self.refuse(f"a different {what}: {differences}")

    def refuse(self, whose: str) -> None:
        """Raise MismatchError that says whose the checkpoints are."""
        raise MismatchError(f"the checkpoints in {self.folder} belong to {whose}")

    def due(self) -> bool:
        """Whether it is time for the next one."""
        writing = self._written is not None and not self._written.done()
        return not writing and time.monotonic() - self._began >= self._seconds / SHARE

    def save(self, checkpoint: Checkpoint, wait: bool = False) -> None:
        """Write a checkpoint, in a thread unless told to wait.

        If there is one with this number of steps already, it stays. Raises OSError if this one, or
        the one before, can't be written.
        """
        self.close()
        self._began, self.latest = time.monotonic(), checkpoint
        if checkpoint.score is not None:
            self._scores[checkpoint.step] = checkpoint.score
        self._written = self._writer.submit(self._write, checkpoint)
        if wait:
            self.close()

    def close(self) -> None:
        """Wait for what is being written. Raises OSError if it can't be."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write(self, checkpoint: Checkpoint) -> None:
        path = self.folder / f"{checkpoint.step}{SUFFIX}"
        if path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        text = {"config": self.config, "facts": checkpoint.facts, "score": checkpoint.score}
        atomic.write(path, parameters.encode(checkpoint.arrays, json.dumps(text)))
        self._prune()
        self._seconds = time.monotonic() - self._began

    def _prune(self) -> None:
        """Remove all but the newest and the best, and what was never written whole."""
        paths = self._paths()
        scored = [step for step in paths if step in self._scores]
        best = min(scored, key=self._scores.__getitem__, default=None)
        for step in paths.keys() - {best, *list(paths)[-KEEP:]}:
            paths[step].unlink(missing_ok=True)
        for path in self.folder.glob("*".join(atomic.PARTIAL)):  # a process was killed
            path.unlink(missing_ok=True)

    def _paths(self) -> dict[int, Path]:
        """The checkpoints' files by step, the oldest first."""
        paths = [path for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return dict(sorted((int(path.stem), path) for path in paths))


def check_checkpoints(caller: str, name: str, candidate: object) -> None:
    """Raise TypeError unless the candidate is Checkpoints, or None."""
    if candidate is not None and not isinstance(candidate, Checkpoints):
        raise TypeError(
            f"{caller}: {name} should be Checkpoints, such as Checkpoints('folder'), got "
            f"{candidate!r}"
        )
