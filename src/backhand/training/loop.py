"""The one engine: a training of one net, or of many at once, that can be stopped and resumed.

One compiled program takes any number of steps from anywhere in an epoch, and scores the net where
an epoch ends. Between two calls of it, which take about half a second, whoever drives the loop can
show progress, listen for Ctrl-C and write a checkpoint. How many steps a call takes changes no bit
of what comes out.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Array, HostOrDevice, Params, Tree
from backhand.storage import parameters
from backhand.storage.checkpoints import Checkpoint, Checkpoints
from backhand.storage.json_values import JSON
from backhand.training.evaluate import scoring
from backhand.training.nonfinite import NonFiniteError, Place, first_nonfinite
from backhand.training.step import TrainState, pure_step, shuffled
from backhand.training.training import Metric, Training

CALL = 0.5  # seconds that one call of the program takes, about
ROWS, ROWS_BYTES = 1024, 4_000_000  # the most epochs that one call records, and bytes, about
PREFIXES = {"train": "train_", "validation": "val_"}  # of a split's scores in the history

Data: TypeAlias = Mapping[str, tuple[HostOrDevice, HostOrDevice]]  # (x, y) by the split's name
Observe: TypeAlias = Callable[[Params], Mapping[str, Array]]
History: TypeAlias = dict[str, np.ndarray]


class Plan(NamedTuple):
    """What the compiled program depends on, beside the shapes of its arguments."""

    training: Training
    batch_size: int
    metrics: tuple[Metric, ...] = ()
    scored: tuple[str, ...] = ()  # the splits that are scored after each epoch
    observe: Observe | None = None
    many: bool = False  # states have an axis of nets in front
    data_per_key: bool = False  # and the data have one, too


class Position(NamedTuple):
    """All that the next step needs."""

    state: TrainState
    losses: Array | np.ndarray  # (batches,), of this epoch's steps so far


class Loop:
    """A training and where it is.

    Attributes:
      position: where it is.
      done: the number of steps taken since its start.
      batches: the number of steps an epoch.
      best, best_epoch: the state after the epoch with the lowest validation loss, and which epoch
        that was, as far as `note_best` was called; None and 0 before.
    """

    def __init__(self, plan: Plan, state: TrainState, data: Data) -> None:
        """Start from `state`. `data` lie on the device; the split "train" is trained on."""
        self.plan, self.data = plan, data
        x, _ = data["train"]
        self.batches = x.shape[1 if plan.data_per_key else 0] // plan.batch_size
        self.begin, self.done = int(np.ravel(state.step)[0]), 0
        self.best: TrainState | None = None
        self.best_epoch, self.best_loss = 0, math.inf
        self._advance, row, value = _program(plan), *_shapes(plan, state, data, self.batches)
        self._capacity = _capacity(row)
        self.position = Position(state, np.zeros((*state.key.shape, self.batches), value.dtype))
        self._history: dict[str, list[np.ndarray]] = {name: [] for name in row}
        self._steps, self._timed = 1, False  # of the next call; whether an epoch was in the last

    @property
    def epochs(self) -> int:
        """How many epochs are complete."""
        return self.done // self.batches

    @property
    def history(self) -> History:
        """What was recorded after each epoch: arrays (epochs, …), or (nets, epochs, …)."""
        axis = 1 if self.plan.many else 0
        return {name: np.concatenate(parts, axis) for name, parts in self._history.items() if parts}

    def last(self) -> dict[str, np.ndarray]:
        """What was recorded after the last complete epoch; nothing before the first ends."""
        parts = {name: parts[-1] for name, parts in self._history.items() if parts}
        return {name: part[:, -1] if self.plan.many else part[-1] for name, part in parts.items()}

    def advance(self, epochs: int) -> None:
        """Take steps for about half a second, or until so many epochs are complete.

        Raises NonFiniteError if a loss, a parameter or a number of the optimizer's is not finite
        any more; it says at which step that began, and in which layer.
        """
        # Until one epoch has been timed, with its scores, no call goes beyond an epoch's end.
        most = self._capacity if self._timed else 1
        limit = min(epochs, self.epochs + most) * self.batches
        limit = min(limit, self.done + self._steps)
        if limit // self.batches > self.epochs:  # the end of an epoch is the better place to stop
            limit -= limit % self.batches
        start = time.perf_counter()
        position, rows, finite = self._call(limit)
        if not finite.all():
            raise self._diverged(limit)
        steps = (limit - self.done) * CALL / (time.perf_counter() - start)
        self._steps, self._timed = max(1, int(steps)), limit // self.batches > self.epochs
        for name, row in self._recorded(rows, limit).items():
            if len(row):
                row = np.swapaxes(row, 0, 1) if self.plan.many else row
                self._history[name].append(row.copy())  # a view would keep the whole buffer
        self.position, self.done = position, limit

    def note_best(self) -> None:
        """Keep the state if its validation loss is the lowest so far."""
        if (loss := float(self.last()["val_loss"])) < self.best_loss:
            self.best, self.best_epoch, self.best_loss = self.position.state, self.epochs, loss

    def checkpoint(self, identity: Mapping[str, JSON]) -> Checkpoint:
        """All that `restore` needs, and what identifies this training."""
        trees = {"state": without_keys(self.position.state), "losses": self.position.losses}
        if self.best is not None:
            trees["best"] = without_keys(self.best)
        score = None
        if self.done and self.done % self.batches == 0:
            recorded = self.last()
            score = float(np.mean(recorded.get("val_loss", recorded["loss"])))
        return Checkpoint(
            step=self.begin + self.done,
            arrays=parameters.named_arrays(trees | {"history": self.history}),
            facts={"training": identity, "best_epoch": self.best_epoch},
            score=score,
        )

    def restore(self, checkpoints: Checkpoints, identity: Mapping[str, JSON]) -> None:
        """Continue from the newest checkpoint, if there is one.

        Raises MismatchError if it belongs to a different training.
        """
        saved = checkpoints.newest()
        if saved is None:
            return
        checkpoints.check("training", saved.facts["training"], identity)
        state = self.position.state
        trees = {"state": without_keys(state), "losses": self.position.losses}
        if saved.facts["best_epoch"]:
            trees["best"] = trees["state"]
        trees = jax.tree.map(jnp.asarray, parameters.arrays_as(trees, saved.arrays))
        self.position = Position(with_keys(trees["state"], state), trees["losses"])
        self.done = saved.step - self.begin
        for name, array in saved.arrays.items():
            if name.startswith("history."):
                self._history[name.removeprefix("history.")] = [array]
        if "best" in trees:
            self.best, self.best_epoch = with_keys(trees["best"], state), saved.facts["best_epoch"]
            self.best_loss = float(self.history["val_loss"][self.best_epoch - 1])

    def _call(self, limit: int) -> tuple[Position, dict[str, Array], np.ndarray]:
        """Take the steps before `limit` from the current position; return what comes out."""
        where = map(np.int32, (self.begin, self.done, limit))
        position, rows, finite = self._advance(self.position, self.data, *where)
        still = still_finite(self.position.state, position.state, self.plan.many)
        return position, rows, np.asarray(finite) & still

    def _diverged(self, limit: int) -> NonFiniteError:
        """The error for the first step, up to `limit`, that leaves a number not finite."""
        low, high = self.done, limit  # all is finite after low steps, and not after high
        while high - low > 1:
            middle = (low + high) // 2
            finite = self._call(middle)[-1].all()
            low, high = (middle, high) if finite else (low, middle)
        position, recorded, _ = self._call(low)
        self._recorded(recorded, low)
        seed = int(np.argmin(self._call(high)[-1])) if self.plan.many else None
        state, (x, y) = self._of(seed, position.state, "train")
        epoch, batch = divmod(low, self.batches)
        number = self.begin // self.batches + epoch
        orders = jax.jit(shuffled, static_argnums=(2, 3))
        rows = np.asarray(orders(state.key, number, len(x), self.plan.batch_size))[batch]
        where = self._where(state, x[rows], y[rows])
        return NonFiniteError(
            epoch=epoch + 1, step=int(state.step), batch=batch + 1, seed=seed, where=where
        )

    def _recorded(self, rows: Mapping[str, Array], limit: int) -> dict[str, np.ndarray]:
        """The rows of the epochs that ended; NonFiniteError if a score's loss is not finite."""
        count = limit // self.batches - self.epochs
        recorded = {name: np.asarray(row)[:count] for name, row in rows.items()}
        bad = [
            (int(row), [int(net) for net in nets], split)
            for split in self.plan.scored
            for row, *nets in np.argwhere(~np.isfinite(recorded[f"{PREFIXES[split]}loss"]))
        ]
        if bad:
            row, nets, split = min(bad)
            epoch, seed = self.epochs + 1 + row, nets[0] if nets else None
            position, _, _ = self._call(epoch * self.batches)
            state, (x, y) = self._of(seed, position.state, split)
            where = self._where(state, x, y)
            raise NonFiniteError(epoch=epoch, split=split, seed=seed, where=where)
        return recorded

    def _of(
        self, seed: int | None, state: TrainState, split: str
    ) -> tuple[TrainState, tuple[np.ndarray, np.ndarray]]:
        """One net's state, and its data, on the host."""
        x, y = map(np.asarray, self.data[split])
        if seed is None:
            return state, (x, y)
        one = jax.tree.map(lambda a: np.asarray(a)[seed], without_keys(state))
        return with_keys(one, state), (x[seed], y[seed]) if self.plan.data_per_key else (x, y)

    def _where(self, state: TrainState, x: np.ndarray, y: np.ndarray) -> Place | None:
        key = jax.random.fold_in(jax.random.clone(state.key), state.step)
        return first_nonfinite(
            self.plan.training.net,
            self.plan.training.loss,
            state.params,
            jnp.asarray(x),
            jnp.asarray(y),
            key,
        )


@lru_cache(maxsize=8)  # so that each is traced once for all trainings of a plan
def _parts(plan: Plan) -> tuple[jax.stages.Wrapped, jax.stages.Wrapped]:
    return jax.jit(_take(plan)), jax.jit(_record(plan))


def _take(plan: Plan) -> Callable[..., tuple[TrainState, Array]]:
    """A step of one net, or under vmap of each: (state, x, y, order, batch) -> (state, value)."""
    step = pure_step(plan.training)

    def take(
        state: TrainState, x: Array, y: Array, order: Array, batch: Array
    ) -> tuple[TrainState, Array]:
        return step(state, x[order[batch]], y[order[batch]])

    own = 0 if plan.data_per_key else None
    return jax.vmap(take, (0, own, own, 0, None)) if plan.many else take


def _record(plan: Plan) -> Callable[..., dict[str, Array]]:
    """What is recorded after an epoch: (params, losses, data) -> numbers by name."""
    score = scoring(plan.training, plan.metrics)

    def record(params: Params, losses: Array, data: Data) -> dict[str, Array]:
        row = {"loss": losses.mean()}
        for split in plan.scored:
            _, scores = score(params, *data[split])
            row |= {PREFIXES[split] + name: value for name, value in scores.items()}
        return row | dict(plan.observe(params) if plan.observe else {})

    own = 0 if plan.data_per_key else None
    return jax.vmap(record, (0, 0, own)) if plan.many else record


def _shapes(
    plan: Plan, state: TrainState, data: Data, batches: int
) -> tuple[dict[str, jax.ShapeDtypeStruct], jax.ShapeDtypeStruct]:
    """The forms of what is recorded after an epoch, and of a step's value."""
    shape = (*state.key.shape, batches, plan.batch_size)
    order, batch = jax.ShapeDtypeStruct(shape, np.int32), jax.ShapeDtypeStruct((), np.int32)
    take, record = _parts(plan)
    _, value = jax.eval_shape(take, state, *data["train"], order, batch)
    losses = jax.ShapeDtypeStruct((*state.key.shape, batches), value.dtype)
    return jax.eval_shape(record, state.params, losses, dict(data)), value


def _capacity(row: Mapping[str, jax.ShapeDtypeStruct]) -> int:
    """How many epochs one call can record."""
    size = sum(int(a.size) * int(a.dtype.itemsize) for a in row.values())
    return max(1, min(ROWS, ROWS_BYTES // size))


@lru_cache(maxsize=8)  # trainings of one plan share their program, and old ones are let go
def _program(plan: Plan) -> jax.stages.Wrapped:
    """Compiled: (position, data, begin, done, limit) -> (position, rows, finite).

    It takes the steps from number `done` to before `limit`, counted from the training's start,
    which was step `begin` of the state. `rows` holds what was recorded after each epoch that ended,
    (capacity, …), and `finite`, for each net, whether all steps' losses are.
    """
    take, record = _parts(plan)
    orders = jax.vmap(shuffled, (0, None, None, None)) if plan.many else shuffled

    def advance(
        position: Position, data: Data, begin: Array, done: Array, limit: Array
    ) -> tuple[Position, dict[str, Array], Array]:
        batches, (x, y) = position.losses.shape[-1], data["train"]
        examples = x.shape[1 if plan.data_per_key else 0]
        row = jax.eval_shape(record, position.state.params, position.losses, data)
        empty = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), row)
        rows = jax.tree.map(lambda a: jnp.zeros((_capacity(row), *a.shape), a.dtype), row)
        first = done // batches

        def epoch(carry: Tree) -> Tree:
            done, position, rows, finite = carry
            number, start = done // batches, done % batches
            end = jnp.minimum(batches, start + limit - done)
            order = orders(position.state.key, begin // batches + number, examples, plan.batch_size)

            def body(batch: Array, carry: Tree) -> Tree:
                (state, losses), finite = carry
                state, value = take(state, x, y, order, batch)
                losses = losses.at[..., batch].set(value)
                return Position(state, losses), finite & jnp.isfinite(value)

            position, finite = jax.lax.fori_loop(start, end, body, (position, finite))
            recorded = jax.lax.cond(
                end == batches,
                lambda: record(position.state.params, position.losses, data),
                lambda: empty,
            )
            rows = jax.tree.map(lambda a, new: a.at[number - first].set(new), rows, recorded)
            return done + end - start, position, rows, finite

        finite = jnp.ones(position.state.key.shape, bool)
        carry = (done, position, rows, finite)
        _, after, rows, finite = jax.lax.while_loop(lambda carry: carry[0] < limit, epoch, carry)
        return after, rows, finite

    return jax.jit(advance)


def still_finite(before: TrainState, after: TrainState, many: bool) -> np.ndarray:
    """Whether what was finite before still is, for each net: some optimizers start from infinity.

    On the host, so that nothing has to be compiled.
    """
    finite = np.array(True)
    trees = ((state.params, state.opt_state) for state in (before, after))
    for was, now in zip(*map(jax.tree.leaves, trees), strict=True):
        if jnp.issubdtype(now.dtype, jnp.inexact):
            whole = np.isfinite(now)
            if not whole.all():
                whole |= ~np.isfinite(was)
            finite = finite & whole.all(tuple(range(many, whole.ndim)))
    return finite


def without_keys(tree: Tree) -> Tree:
    """The tree with each key replaced by its data: some optimizers hold keys, and files can't."""
    return jax.tree.map(lambda a: jax.random.key_data(a) if _is_key(a) else a, tree)


def with_keys(tree: Tree, like: Tree) -> Tree:
    """The reverse: keys wherever `like` has some."""

    def key(a: Array, b: Array) -> Array:
        return jax.random.wrap_key_data(a, impl=jax.random.key_impl(b)) if _is_key(b) else a

    return jax.tree.map(key, tree, like)


def _is_key(a: Array) -> bool:
    return bool(jnp.issubdtype(a.dtype, jax.dtypes.prng_key))
