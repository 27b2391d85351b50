"""The loop under `fit`: a training that can be watched, stopped, and gone on with at any of its steps.

An epoch is taken in chunks of about a quarter of a second. Between two, numbers that are not finite stop it, Ctrl-C is
heard, and a checkpoint can be written. How many steps a chunk has changes no bit of what comes out: one compiled
program takes them, from any step to any other.
"""

import time
from functools import lru_cache
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Layer
from backhand.losses import Loss
from backhand.storage import parameters as files
from backhand.storage.checkpoints import Checkpoints
from backhand.storage.digests import fingerprint
from backhand.training.nonfinite import NonFiniteError, first_nonfinite
from backhand.training.sitting import (
    Position,
    Sitting,
    another_program,
    ending,
    training,
    with_keys,
    without_keys,
)
from backhand.training.step import Step, TrainState, shuffled, still_finite

CHUNK = 0.25  # seconds, about


class Loop:
    """A training, as far as it has come; entered, it writes checkpoints, if it has any, and listens for Ctrl-C.

    Attributes:
      state: after the steps that were taken. The arrays of earlier ones stay as they are.
      epochs: how many are done.
      memory: in JSON's terms, what whoever uses the loop must know to go on. It is in each checkpoint.
      kept: states to keep beside the last one, by name. They are in each checkpoint, too.
    """

    def __init__(
        self,
        state: TrainState,
        step: Step,
        train: tuple[Any, Any],
        *,
        net: Layer,
        loss: Loss,
        batch_size: int,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Start from `state`, or where there are checkpoints from the newest.

        `step` is from `make_step`, of `net` and `loss`, which here only tell where numbers stop being finite. `train`
        is (x, y), on the device. Raises ValueError that says what differs where the newest checkpoint is another
        training's: of another net, key, batch size or data.
        """
        self.state, self.train = state, train
        self.net, self.loss = net, loss
        self.batch_size, self.batches = batch_size, len(train[0]) // batch_size
        self.checkpoints = checkpoints
        self.epochs, self.batch = 0, 0  # the epochs that are done, and of this one the batches
        self.memory: dict[str, Any] = {}
        self.kept: dict[str, TrainState] = {}
        self.programs: list[str] = []  # fingerprints of what took the steps
        rows = (jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype) for a in train)
        _, value = jax.eval_shape(step, state, *rows)
        self.values = jnp.zeros(self.batches, value.dtype)  # the loss of each batch of this epoch
        self._advance = advancing(step)
        self._size, self._compiled = 1, False
        self._score: float | None = None
        self._sitting = Sitting(
            checkpoints, self._position, lambda: ending(self.state, "+".join(self.programs))
        )
        if checkpoints is not None:
            self._training = training(batch_size, self.batches, state.key, *train)
            self._restore(checkpoints)

    def __enter__(self) -> "Loop":
        self._sitting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._sitting.__exit__(*error)

    def epoch(self) -> np.ndarray:
        """Take the steps that this epoch lacks; return the loss of each of its batches (batches,) before its step.

        Raises NonFiniteError where a loss, a parameter or a number of the optimizer's is no longer finite, and says
        where that began; KeyboardInterrupt after a checkpoint.
        """
        self._score = None
        start = self.state._replace(step=self.state.step - np.int32(self.batch))
        order = _shuffled(start, len(self.train[0]), self.batch_size)
        if self.checkpoints is not None and not self._compiled:
            self._note_program(order)
        while True:
            self._take(order, min(self.batch + self._size, self.batches))
            if self.batch == self.batches:
                break
            self._sitting.pause()
        self.epochs, self.batch = self.epochs + 1, 0
        return np.asarray(self.values)

    def pause(self, score: float | None = None) -> None:
        """Between epochs, once `memory` and `kept` are up to date: write a checkpoint if it is time, heed Ctrl-C.

        The lower the score of where it is now, the better.
        """
        self._score = score
        self._sitting.pause()

    def _take(self, order: Any, last: int) -> None:
        """Take the steps from the next batch of this epoch to before batch number `last`."""
        begun = time.monotonic()
        state, values, finite = self._advance(
            self.state, *self.train, order, self.values, np.int32(self.batch), np.int32(last)
        )
        if not finite:
            self._hunt(order, last)
        if self._compiled:  # else the time was the compiler's
            self._size = max(1, int((last - self.batch) * CHUNK / (time.monotonic() - begun)))
        self.state, self.values, self.batch, self._compiled = state, values, last, True

    def _hunt(self, order: Any, last: int) -> NoReturn:
        """Take these steps again, one by one, and say at which numbers stop being finite, and in which layer."""
        state = self.state
        for batch in range(self.batch, last):
            after, _, finite = self._advance(
                state, *self.train, order, self.values, np.int32(batch), np.int32(batch + 1)
            )
            if not finite:
                x, y = (a[order[batch]] for a in self.train)
                key = jax.random.fold_in(state.key, state.step)
                where = first_nonfinite(self.net, self.loss, state.params, x, y, key)
                raise NonFiniteError(
                    step=int(state.step), epoch=self.epochs + 1, batch=batch + 1, where=where
                )
            state = after
        raise NonFiniteError(epoch=self.epochs + 1, where=None)

    def _note_program(self, order: Any) -> None:
        """Remember which program takes the steps; warn where it is not the one that took them before."""
        bounds = np.int32(0), np.int32(self.batches)
        lowered = self._advance.lower(self.state, *self.train, order, self.values, *bounds)
        program = fingerprint(lowered.compile().as_text() or "")
        if self.programs[-1:] != [program]:
            if self.programs and self.checkpoints is not None:
                another_program(self.checkpoints)
            self.programs.append(program)

    def _position(self) -> Position:
        states = {name: without_keys(state) for name, state in {"state": self.state, **self.kept}.items()}
        position = {
            "epochs": self.epochs, "batch": self.batch, "programs": self.programs, "kept": list(self.kept),
        }  # fmt: skip
        return Position(
            int(self.state.step),
            files.named_arrays(states | {"values": self.values}),
            {"training": self._training, "position": position, "memory": self.memory},
            self._score,
        )

    def _restore(self, checkpoints: Checkpoints) -> None:
        saved = checkpoints.restore()
        if saved is None:
            return
        checkpoints.refuse_another("training", saved.memory["training"], self._training)
        position = saved.memory["position"]
        states = {name: without_keys(self.state) for name in ("state", *position["kept"])}
        trees = checkpoints.as_tree(saved, states | {"values": self.values})
        self.values = trees.pop("values")
        states = {name: with_keys(state, self.state) for name, state in trees.items()}
        self.state, self.kept = states.pop("state"), states
        self.epochs, self.batch, self.programs = (
            position["epochs"],
            position["batch"],
            position["programs"],
        )
        self.memory = saved.memory["memory"]


@lru_cache(maxsize=4)  # trainings of one step share a program, and those of other steps don't pile theirs up
def advancing(step: Step) -> Any:
    """A jitted function that takes some of an epoch's steps."""

    def advance(
        state: TrainState, x: Any, y: Any, order: Any, values: Any, first: Any, last: Any
    ) -> tuple[TrainState, Any, Any]:
        """Take steps `first` to before `last` of an epoch of this order (batches, batch_size).

        Returns the state, the values (batches,) with the loss of each of these batches, and whether they are finite,
        and the state's numbers still.
        """

        def body(batch: Any, carry: Any) -> Any:
            state, values = carry
            state, value = step(state, x[order[batch]], y[order[batch]])
            return state, values.at[batch].set(value)

        after, values = jax.lax.fori_loop(first, last, body, (state, values))
        return after, values, jnp.isfinite(values).all() & still_finite(state, after)

    return jax.jit(advance)


_shuffled = jax.jit(shuffled, static_argnums=(1, 2))
