"""A sitting: a training from where it was taken up to where it is left, done or not."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np

from backhand import files
from backhand.checkpoints import Checkpoints
from backhand.digest import sha256
from backhand.signals import Deferred
from backhand.training import TrainState


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
    return {
        "program_sha256": program,
        "step": np.asarray(state.step).tolist(),
        "params_sha256": sha256(files.named_arrays(state.params)),
        "opt_state_sha256": sha256(files.named_arrays(state.opt_state)),
    }


def without_key(state: TrainState) -> TrainState:
    """The state with its key, or keys, as plain arrays."""
    return state._replace(key=jax.random.key_data(state.key))


def with_key(state: TrainState, like: jax.Array) -> TrainState:
    """The reverse of `without_key`: the state with keys of the kind that `like` is."""
    return state._replace(key=jax.random.wrap_key_data(state.key, impl=jax.random.key_impl(like)))
