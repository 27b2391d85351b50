"""Checkpoints: what a training needs to go on from where it was, as if nothing had happened.

Orbax writes them: each in a folder of its own, beside the training, which bears another name until it is whole. What
is in one is a file as `files` writes it, by whose digest any damage is found.
"""

import errno
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.storage import parameters as files

SHARE = 0.02  # of the time may go into checkpoints
HALF_WRITTEN = ".orbax-checkpoint-tmp"  # in the name of a folder that Orbax has not done writing


class Saved(NamedTuple):
    """What a checkpoint holds."""

    step: int
    arrays: dict[str, np.ndarray]
    memory: dict[str, Any]
    beside: Any


class Checkpoints:
    """The checkpoints of one training, in a folder: the newest ones, and the one with the best score.

    `fit(…, checkpoints=Checkpoints("somewhere"))` writes them, and goes on from the newest where there are some. The
    first is written as training begins, or goes on, and timed: the others come so far apart that they take 2 % of the
    time.
    """

    def __init__(
        self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None, *, keep: int = 2
    ) -> None:
        """Name the folder; nothing is read or written yet.

        `config` says what the training is, in JSON's terms: it only goes on from checkpoints of the same. `keep` is
        how many of the newest are kept. Raises TypeError or ValueError where these make no sense.
        """
        checks.positive_integer("Checkpoints", "keep", keep)
        self.folder = Path(folder).absolute()
        try:
            self.config = json.loads(json.dumps(dict(config or {})))
        except (TypeError, ValueError) as error:
            raise TypeError(f"Checkpoints: config should be what JSON can hold, got {config!r}") from error
        self.keep = keep
        self.receipt: dict[str, Any] = {}  # of the training, once it is done: by which program, to which end
        self._scores: dict[int, float] = {}  # of the checkpoints that have one, by step
        self._manager: Any = None
        self._seconds: float | None = None  # that writing one takes, once that is known
        self._begun = 0.0  # when the last one was begun

    def restore(self) -> Saved | None:
        """The newest whole checkpoint; None where there is none.

        Damaged and half-written ones are put out of the way, with a warning that names them. Raises ValueError that
        says what differs where the newest is one of another config; ImportError, with what to install, where Orbax or
        safetensors is missing.
        """
        _orbax()  # what is missing here is no damage there
        for folder in sorted(self.folder.glob(f"*{HALF_WRITTEN}*")):
            warnings.warn(f"checkpoint {folder} is half-written: it is left out", stacklevel=2)
        newest, damaged = None, {}
        folders = [folder for folder in self.folder.glob("*") if folder.name.isdecimal()]
        for folder in sorted(folders, key=lambda folder: int(folder.name), reverse=True):
            try:
                arrays, said = read(folder)
            except MemoryError:
                raise
            except Exception as error:  # whatever Orbax, or what it stands on, makes of damage
                damaged[folder] = str(error).splitlines()[0] if str(error) else type(error).__name__
                continue
            if said["score"] is not None:
                self._scores[int(folder.name)] = said["score"]
            newest = newest or (
                Saved(int(folder.name), arrays, said["memory"], said["beside"]),
                said["config"],
            )
        for folder, reason in damaged.items():
            older = newest is not None and int(folder.name) < newest[0].step
            if older and folder.is_dir() and not folder.is_symlink():  # killed as it removed it
                shutil.rmtree(folder)
                continue
            aside = folder.rename(folder.with_name(f"damaged-{folder.name}-{time.time_ns()}"))
            warnings.warn(
                f"checkpoint {folder} is damaged ({reason}): it is left out, and now called {aside.name}",
                stacklevel=2,
            )
        if newest is None:
            return None
        saved, config = newest
        self.refuse_another("config", config, self.config)
        return saved

    def refuse_another(self, what: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raise ValueError that says what differs, where the checkpoints are not of what there is now."""
        if there != now:
            self.refuse(f"another {what}: {_differences(there, now)}")

    def refuse(self, whose: str) -> NoReturn:
        """Raise ValueError that says whose the checkpoints are."""
        raise ValueError(f"the checkpoints in {self.folder} are of {whose}")

    def as_tree(self, saved: Saved, like: Any, prefix: str = "") -> Any:
        """The arrays of a checkpoint whose names begin so, as a tree like this one, on the device.

        Raises ValueError that says what differs where their names, shapes or dtypes are others.
        """
        arrays = {name.removeprefix(prefix): a for name, a in saved.arrays.items() if name.startswith(prefix)}
        found, wanted = files.forms(arrays), files.forms(like)
        if found != wanted:
            self.refuse(f"another net or optimizer: {files.difference(found, wanted)}")
        return jax.tree.map(jnp.asarray, files.arrays_as(like, arrays))

    def due(self) -> bool:
        """Whether it is time for the next one."""
        if self._seconds is None:  # to know it, one must be written
            return True
        return time.monotonic() - self._begun >= self._seconds / SHARE and not (
            self._manager and self._manager.is_saving_in_progress()
        )

    def save(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        memory: Mapping[str, Any],
        *,
        score: float | None = None,
        wait: bool = False,
    ) -> None:
        """Write one, after so many steps: named arrays and, in JSON's terms, what else is to be known.

        It is written while training goes on, unless told to wait for it, or the first. Where there is one of this step
        already, that one stays. The lower its `score` the better. Raises OSError where it, or the one before, can't be
        written.
        """
        said = {"config": self.config, "score": score, "memory": memory, "beside": self.beside()}
        content = np.frombuffer(files.encode(arrays, json.dumps(said)), np.uint8)

        def write() -> None:
            manager = self._open()
            new, first = not (self.folder / str(step)).exists(), self._seconds is None
            self._begun = time.monotonic()
            if new:
                if score is not None:
                    self._scores[step] = score
                manager.save(step, args=_orbax().args.StandardSave({"content": content}))
            if first or wait:
                manager.wait_until_finished()
            if new and first:
                self._seconds = time.monotonic() - self._begun

        self._try(write)

    def prune(self, keep: int) -> None:
        """Remove all but so many of the newest."""
        self.close()
        folders = [folder for folder in self.folder.glob("*") if folder.name.isdecimal()]
        for folder in sorted(folders, key=lambda folder: int(folder.name))[: len(folders) - keep]:
            shutil.rmtree(folder)

    def done(self, receipt: Mapping[str, Any]) -> None:
        """Say how the training ended: digests by name."""
        self.receipt |= receipt

    def beside(self) -> Any:
        """What else a checkpoint should hold, in JSON's terms; a run gives what it has logged."""
        return None

    def close(self) -> None:
        """Wait for what is being written. Raises OSError where that fails."""
        if self._manager is not None:
            manager, self._manager = self._manager, None
            self._try(manager.close)

    def _try(self, write: Callable[[], None]) -> None:
        """Do it; raise what Orbax makes of a disk that takes nothing more as the OSError that is behind it."""
        try:
            write()
            return
        except Exception as error:
            said = {number: os.strerror(number) for number in errno.errorcode}
            found = [number for number, words in said.items() if words in str(error)]
            number = (
                error.errno
                if isinstance(error, OSError)
                else max(found, key=lambda n: len(said[n]), default=None)
            )
            words = said[number] if number else str(error).splitlines()[0]
            failure = OSError(number or errno.EIO, words, str(self.folder))
        raise failure

    def _open(self) -> Any:
        if self._manager is None:
            self._manager = _orbax().CheckpointManager(
                self.folder,
                options=_orbax().CheckpointManagerOptions(
                    preservation_policy=self, cleanup_tmp_directories=True, create=True
                ),
            )
        return self._manager

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:  # noqa: ARG002
        """Which of these, the oldest first, are kept: Orbax asks after each."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        scored = {step: self._scores[step] for step in steps if step in self._scores}
        best = min(scored, key=lambda step: scored[step], default=None)
        return [step == best or step in steps[-self.keep :] for step in steps]


def check_checkpoints(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is Checkpoints, or None."""
    if candidate is not None and not isinstance(candidate, Checkpoints):
        raise TypeError(
            f"{caller}: checkpoints should be Checkpoints, such as Checkpoints('folder'), got {candidate!r}"
        )


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the checkpoint in a folder holds: arrays by name, and what is said beside them.

    Raises where it is damaged: ValueError, or whatever Orbax and what it stands on make of it.
    """
    with _orbax().StandardCheckpointer() as checkpointer:
        content = checkpointer.restore(folder / "default")["content"]
    return files.decode(np.asarray(content).tobytes(), str(folder))


@cache
def _orbax() -> Any:
    """Orbax, which is imported when first needed: it takes a moment, and training without checkpoints needs none."""
    try:
        import orbax.checkpoint
        import safetensors  # noqa: F401 - which is in each of them
    except ImportError as error:
        raise ImportError(
            "checkpoints need orbax-checkpoint and safetensors: pip install 'backhand[cli]'"
        ) from error
    # On a full disk each of its threads logs a traceback, of what comes as an exception anyway.
    logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
    return orbax.checkpoint


def _differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    words = [
        f"{name} was {there.get(name)!r}, and is {now.get(name)!r}"
        for name in sorted({*there, *now})
        if there.get(name) != now.get(name)
    ]
    return "; ".join(words)
