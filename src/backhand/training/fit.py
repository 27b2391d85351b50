"""`fit`: checks before a training, progress during it, a history after it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef

from backhand import checks
from backhand.layer import Array, HostOrDevice, Key, Params, Tree
from backhand.storage.checkpoints import Checkpoints, check_checkpoints
from backhand.training.identity import identity
from backhand.training.interrupts import Deferred
from backhand.training.loop import PREFIXES, Data, History, Loop, Observe, Plan
from backhand.training.progress import Progress
from backhand.training.step import TrainState, check_state, init_state
from backhand.training.training import Metric, Training, check_training


def fit(
    training: Training,
    train: tuple[HostOrDevice, HostOrDevice],
    *,
    key: Key | None = None,
    state: TrainState | None = None,
    epochs: int,
    batch_size: int,
    validation: tuple[HostOrDevice, HostOrDevice] | None = None,
    metrics: Sequence[Metric] = (),
    score_train: bool = False,
    observe: Observe | None = None,
    patience: int | None = None,
    data_per_key: bool = False,
    on_epoch: Callable[[TrainState, dict[str, np.ndarray | int]], None] | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> tuple[TrainState, History]:
    """Train for a number of epochs, one net from a key or many at once from an array of keys.

    Args:
      training: the net, its loss, the optimizer and the gradient.
      train: (x, y), all of it: x (examples, …), y as the loss wants its targets.
      key: draws the first params and seeds the rest. With an array of keys (n,), n nets train at
        once, under `jax.vmap`, and all that comes out has an axis of n in front.
      state: where to start, instead of a key. It stays as it is, and can be used again.
      epochs: how many passes over the data.
      batch_size: examples a step. An epoch is examples // batch_size steps.
      validation: (x, y) to score too after each epoch, never to train on.
      metrics: what to score beside the loss, such as `[accuracy]`.
      score_train: also score all of `train` after each epoch, as "train_loss" and so on.
      observe: what else to record after each epoch: a function params -> dict of arrays, which is
        compiled into the training. Pass the same function again to share the compiled program.
      patience: stop once the validation loss has not improved for so many epochs, and return the
        state with the lowest. None trains to the end and returns the last state.
      data_per_key: x and y have an axis of n in front, a data set for each key; else all share one.
      on_epoch: called after each epoch with the state and what that epoch recorded, and "epoch".
      checkpoints: where to write checkpoints; `fit` resumes from the newest if there is one, and
        what comes out is the same, bit for bit: the same data, functions, first parameters and
        version of JAX. Epochs done before call no `on_epoch`. Ctrl-C and SIGTERM then wait for
        about half a second, and a checkpoint.
      progress: the progress line, if several trainings share one.

    Returns:
      The last state, or with `patience` the best, and the history: arrays (epochs, …) by name.
      "loss" is the mean of the steps' own losses through the epoch, as the net learned; "val_loss",
      "val_accuracy" and so on are of the params after it, by `net.apply`.

    On a terminal a progress line is shown on stderr. Everything is checked before the first step:
    raises TypeError or ValueError that says what was got and what was expected. Raises
    NonFiniteError, which says at which step and in which layer it began, when a loss, a parameter
    or a number of the optimizer's becomes NaN or infinite; MismatchError if the checkpoints belong
    to a different training; OSError if one can't be written.
    """
    check_training("fit", training)
    data = _splits(train, validation)
    keys = _check_start(key, state, data, data_per_key, patience)
    _check_settings(epochs, batch_size, data, data_per_key, patience, metrics, observe, on_epoch)
    check_checkpoints("fit", "checkpoints", checkpoints)
    scored = tuple(["train"] * score_train + ["validation"] * (validation is not None))
    many = keys.ndim > 0
    plan = Plan(training, batch_size, tuple(metrics), scored, observe, many, data_per_key)
    progress, signals = progress or Progress(epochs), Deferred()
    listening = on_epoch is not None or patience is not None
    with ExitStack() as stack:
        stack.callback(progress.clear)
        progress.show(0, {})
        device = {name: jax.device_put(split) for name, split in data.items()}
        if state is None:
            x, _ = device["train"]
            state = init_state(training, keys, x[0] if data_per_key else x)
        _check_data(plan, state, data, device)
        loop = Loop(plan, state, device)
        if checkpoints is not None:
            whose = identity(loop, data) | {"patience": patience is not None}
            loop.restore(checkpoints, whose)
            if loop.done > epochs * loop.batches:
                done = loop.done / loop.batches
                checkpoints.refuse(f"{done:.3g} epochs, more than epochs, {epochs}")
            stack.enter_context(signals)
            stack.callback(checkpoints.close)
        while loop.epochs < epochs:
            if patience is not None and loop.epochs - loop.best_epoch >= patience:
                break
            before = loop.epochs
            loop.advance(before + 1 if listening else epochs)
            recorded = loop.last()
            if loop.epochs > before:
                if on_epoch is not None:
                    on_epoch(loop.position.state, {"epoch": loop.epochs, **recorded})
                if patience is not None:
                    loop.note_best()
            progress.show(loop.done / loop.batches, recorded)
            if checkpoints is not None and (signals.asked or checkpoints.due()):
                checkpoints.save(loop.checkpoint(whose), wait=signals.asked is not None)
            signals.heed()
        if checkpoints is not None:
            checkpoints.save(loop.checkpoint(whose), wait=True)
    return loop.best or loop.position.state, loop.history


def _splits(train: object, validation: object) -> Data:
    """The splits by name; raise unless each is a pair of arrays."""
    splits: dict[str, tuple[HostOrDevice, HostOrDevice]] = {}
    for name, split in {"train": train, "validation": validation}.items():
        if split is None and name == "validation":
            continue
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise TypeError(f"fit: {name} should be a pair (x, y), got {type(split).__name__}")
        for part, a in zip("xy", split, strict=True):
            checks.array("fit", f"{name} {part}", a)
        checks.not_empty("fit", f"{name} x", split[0])
        checks.kept("fit", f"{name} x", split[0])
        checks.numeric("fit", f"{name} y", split[1])
        splits[name] = (split[0], split[1])
    return splits


def _check_start(
    key: Key | None, state: TrainState | None, data: Data, data_per_key: bool, patience: int | None
) -> Key:
    """The key or keys to train from; raise unless key, state and data fit together."""
    if (key is None) == (state is None):
        given = "neither" if key is None else "both"
        raise TypeError(f"fit: give a key, or a state to start from, got {given}")
    if state is not None:
        check_state("fit", "state", state)
        key = state.key
    checks.keys("fit", "key", key)
    assert key is not None
    if key.ndim == 0 and data_per_key:
        raise ValueError("fit: data_per_key is for an array of keys, got one key")
    if key.ndim and patience is not None:
        raise ValueError(f"fit: patience, {patience}, is for one net, got {len(key)} keys")
    for name, split in data.items() if data_per_key else ():
        for part, a in zip("xy", split, strict=True):
            if len(a) != len(key):
                raise ValueError(
                    f"fit: {name} {part} should have an axis of {len(key)} in front, one for each "
                    f"key, got shape {a.shape}"
                )
    return key


def _check_settings(
    epochs: int,
    batch_size: int,
    data: Data,
    data_per_key: bool,
    patience: int | None,
    metrics: Sequence[Metric],
    observe: Observe | None,
    on_epoch: object,
) -> None:
    """Raise unless sizes, counts and functions make sense."""
    checks.positive_integer("fit", "epochs", epochs)
    if patience is not None:
        checks.positive_integer("fit", "patience", patience)
        if "validation" not in data:
            raise ValueError(
                f"fit: patience, {patience}, watches the validation loss, and there is no "
                f"validation set"
            )
    checks.metrics("fit", "metrics", metrics)
    for name, function in {"observe": observe, "on_epoch": on_epoch}.items():
        if function is not None:
            checks.function("fit", name, function)
    for name, (x, y) in data.items():
        checks.batch(f"fit: {name}", *((x[0], y[0]) if data_per_key else (x, y)))
    checks.batches("fit", data["train"][0].shape[1 if data_per_key else 0], batch_size)


def _check_data(plan: Plan, state: TrainState, data: Data, device: Data) -> None:
    """Raise unless the data suit the net, the loss and the metrics."""
    form = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (state, dict(data)))
    leaves, tree = jax.tree.flatten(form)
    _check_forms(plan, tree, tuple(leaves))
    some, finite = _glance(plan)(state.params, device)
    for name, (x, y) in data.items():
        if not finite[name]:
            checks.finite("fit", f"{name} x", x)
        few = some[name]
        for targets in y if plan.data_per_key else [y]:
            prediction = jax.ShapeDtypeStruct((len(targets), *few.shape[1:]), few.dtype)
            checks.target("fit", f"{name} y", plan.training.loss, prediction, targets)
        first = (y[0] if plan.data_per_key else y)[: plan.batch_size]
        checks.target("fit", f"{name} y", plan.training.loss, few, first)


@lru_cache(maxsize=8)  # what fits once fits again
def _check_forms(plan: Plan, tree: PyTreeDef, leaves: tuple[jax.ShapeDtypeStruct, ...]) -> None:
    """Raise unless the shapes and dtypes of state and data suit the training."""
    training, (state, data) = plan.training, jax.tree.unflatten(tree, leaves)
    params, opt_state = jax.eval_shape(partial(_first, plan), (state.params, state.opt_state))
    rows = data["train"][0].shape[1 + plan.data_per_key :]
    for name, (x, y) in data.items():
        shape = x.shape[1 if plan.data_per_key else 0 :]
        if shape[1:] != rows:
            raise ValueError(
                f"fit: {name} x should have rows like train x's {rows}, got {shape[1:]}"
            )
        one = jax.ShapeDtypeStruct(shape, x.dtype)
        checks.params("fit", f"{name} x", one, training.net, params)
        prediction = jax.eval_shape(training.net.apply, params, one)
        target = jax.ShapeDtypeStruct(y.shape[1 if plan.data_per_key else 0 :], y.dtype)
        checks.target("fit", f"{name} y", training.loss, prediction, target)
        for metric in plan.metrics:
            if (form := jax.eval_shape(metric, prediction, target).shape) != ():
                raise ValueError(
                    f"fit: metric {metric.__name__} should give one number, got shape {form}"
                )
    wanted = jax.eval_shape(training.optimizer.init, params)
    checks.same_tree("fit", "the optimizer's part of state", opt_state, wanted)
    if plan.observe is not None:
        observed = jax.eval_shape(plan.observe, params)
        arrays = isinstance(observed, dict) and observed.values()
        if arrays is False or not all(isinstance(a, jax.ShapeDtypeStruct) for a in arrays):
            raise TypeError(
                f"fit: observe should return a dict of arrays, got {checks.shown(observed)}"
            )
        scores = ("loss", *(metric.__name__ for metric in plan.metrics))
        names = {
            "epoch",
            "loss",
            *(PREFIXES[split] + score for split in plan.scored for score in scores),
        }
        if taken := sorted(names & observed.keys()):
            raise ValueError(f"fit: observe should use names of its own, got {', '.join(taken)}")


@lru_cache(maxsize=8)
def _glance(plan: Plan) -> Callable[[Params, Data], tuple[dict[str, Array], dict[str, Array]]]:
    """Compiled: of each split, the predictions of the first batch, and whether all x are finite."""

    def glance(params: Params, data: Data) -> tuple[dict[str, Array], dict[str, Array]]:
        xs = {name: x for name, (x, _) in data.items()}
        batches = {n: (x[0] if plan.data_per_key else x)[: plan.batch_size] for n, x in xs.items()}
        params = _first(plan, params)
        some = {name: plan.training.net.apply(params, x) for name, x in batches.items()}
        return some, {name: jnp.isfinite(x).all() for name, x in xs.items()}

    return jax.jit(glance)


def _first(plan: Plan, tree: Tree) -> Tree:
    """One net's part of a tree."""
    return jax.tree.map(lambda a: a[0], tree) if plan.many else tree
