"""A sitting: a training from where it was taken up to where it is left, done or not."""

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand.storage import parameters as files
from backhand.storage.checkpoints import Checkpoints
from backhand.storage.digests import sha256
from backhand.training.interrupts import Deferred
from backhand.training.step import TrainState


class Position(NamedTuple):
    """Where a training is, as a checkpoint holds it."""

    step: int
    arrays: dict[str, np.ndarray]
    memory: dict[str, Any]  # in JSON's terms
    score: float | None = None  # the lower the better


class Sitting:
    """Entered, it writes a training's checkpoints, if it has any, and keeps Ctrl-C until one is written.

    `position` gives where the training is, and `ending`, once it is done, what its receipt is to say.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        position: Callable[[], Position],
        ending: Callable[[], dict[str, Any]],
    ) -> None:
        self.checkpoints, self.position, self.ending = checkpoints, position, ending
        self._signals, self._entered = Deferred(), ExitStack()

    def __enter__(self) -> "Sitting":
        if self.checkpoints is not None:
            with ExitStack() as stack:
                stack.enter_context(self._signals)
                stack.callback(self.checkpoints.close)
                self._save(self.checkpoints)
                self._entered = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._entered:
            if error is None and self.checkpoints is not None:
                self._save(self.checkpoints, wait=True)
                self.checkpoints.done(self.ending())

    def pause(self) -> None:
        """Between two steps: write a checkpoint if it is time, and after Ctrl-C or SIGTERM, which is heeded then."""
        asked = self._signals.asked is not None
        if self.checkpoints is not None and (asked or self.checkpoints.due()):
            self._save(self.checkpoints, wait=asked)
        self._signals.heed()

    def _save(self, checkpoints: Checkpoints, wait: bool = False) -> None:
        step, arrays, memory, score = self.position()
        checkpoints.save(step, arrays, memory, score=score, wait=wait)


def ending(state: TrainState, program: str) -> dict[str, Any]:
    """What a receipt says of a training: its program's fingerprint, the number of steps, digests of where it ended."""
    state = without_keys(state)
    return {
        "program_sha256": program,
        "step": np.asarray(state.step).tolist(),
        "params_sha256": sha256(files.named_arrays(state.params)),
        "opt_state_sha256": sha256(files.named_arrays(state.opt_state)),
    }


def training(batch_size: int, batches: int, key: jax.Array, x: Any, y: Any) -> dict[str, Any]:
    """What tells one training from another, in JSON's terms, and a user need not put into a checkpoint's config.

    Of the data it is all targets y, and a thousand rows of x: to look at all of it would take longer than a checkpoint.
    """
    some = {"x": np.asarray(x[:: max(1, len(x) // 1000)]), "y": np.asarray(y)}
    return {
        "batch_size": batch_size,
        "batches": batches,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "data_sha256": sha256(some),
    }


def another_program(checkpoints: Checkpoints) -> None:
    """Warn that a training goes on by another program than it began with."""
    warnings.warn(
        f"{checkpoints.folder}: steps are now taken by another program than before the checkpoint, of another loss or "
        f"optimizer setting, by another version or on another machine; so the end may be another",
        stacklevel=3,
    )


def without_keys(tree: Any) -> Any:
    """The tree with each key's data for the key, which no file holds: optimizers that draw noise have keys, too."""
    return jax.tree.map(lambda a: jax.random.key_data(a) if _is_key(a) else a, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """The reverse: keys where `like` has some."""
    return jax.tree.map(
        lambda a, b: jax.random.wrap_key_data(a, impl=jax.random.key_impl(b)) if _is_key(b) else a, tree, like
    )


def _is_key(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
