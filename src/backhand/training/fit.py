"""The shell around training: checks before it, progress during it, a history after it."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax

from backhand import checks
from backhand.layer import Layer
from backhand.losses import Loss
from backhand.storage.checkpoints import Checkpoints, check_checkpoints
from backhand.training.loop import Loop
from backhand.training.nonfinite import NonFiniteError, first_nonfinite
from backhand.training.progress import Progress
from backhand.training.step import Metric, Step, TrainState, check_state, check_step, score

SPLITS = {"": "train", "val_": "validation"}  # by the prefix of its scores
History: TypeAlias = dict[str, list[float]]


def fit(
    state: TrainState,
    step: Step,
    train: tuple[Any, Any],
    *,
    net: Layer,
    loss: Loss,
    epochs: int,
    batch_size: int,
    validation: tuple[Any, Any] | None = None,
    metrics: Sequence[Metric] = (),
    patience: int | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[TrainState, dict[str, float]], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[TrainState, History]:
    """Train for a number of epochs; return the last state and the history.

    Args:
      state: where to start, from `init_state`. It is left as it is, and can be used again.
      step: from `make_step`.
      train: (x, y), all of it: x (examples, …) floating, y as the loss wants its targets.
      net, loss: what `step` trains; here they only score.
      epochs: how many passes over the data.
      batch_size: rows a step. An epoch is examples // batch_size steps on a fresh seeded permutation.
      validation: (x, y) to score too after each epoch, never to train on.
      metrics: what to score beside the loss, such as `[accuracy]`.
      patience: stop once the validation loss has not improved for so many epochs, and return the state
        with the best one, or the last if none was finite. None trains to the end and returns the last.
      progress: the progress line, where it is one for several trainings.
      on_epoch: called after each epoch with the state and that epoch's scores, "epoch" (from 1) among
        them.
      checkpoints: where to write checkpoints, and to go on from the newest, mid-epoch too: what comes out is
        the same, bit for bit. `on_epoch` is not called for epochs that are done. Ctrl-C and SIGTERM are heard
        once a checkpoint is written. Those of another key, net, batch size, training data, or other scores are
        refused; of the optimizer's settings and the loss a change is warned of.

    Returns:
      The state, and a dict of lists with an entry an epoch: "loss" and each metric's name, the same with
      "val_" for the validation set. All scores are of the params after the epoch, by `net.apply`.

    A progress line is shown on stderr while that is a terminal. Everything is checked before the first
    step; raises TypeError or ValueError that says what was got and what was expected. Raises NonFiniteError, which
    says at which step and in which layer it began, as soon as a loss, a parameter or a number of the optimizer's is
    NaN or infinite; OSError where a checkpoint can't be written.
    """
    _check(state, step, train, net, loss, epochs, batch_size, validation, metrics, patience, on_epoch)
    check_checkpoints("fit", checkpoints)
    splits = jax.device_put({"": train} if validation is None else {"": train, "val_": validation})
    progress = progress or Progress(epochs)
    loop = Loop(state, step, splits[""], net=net, loss=loss, batch_size=batch_size, checkpoints=checkpoints)
    _check_going_on(loop, epochs, list(splits), metrics, patience)
    history: History = loop.memory.setdefault("history", {})
    best = loop.memory.setdefault("best", {"epoch": 0, "loss": math.inf})
    try:
        with loop:
            while loop.epochs < epochs and (patience is None or loop.epochs - best["epoch"] < patience):
                loop.epoch()
                scores = {
                    prefix + name: value
                    for prefix, (x, y) in splits.items()
                    for name, value in score(net, loss, loop.state.params, x, y, metrics).items()
                }
                for name, (x, y) in splits.items():
                    if not math.isfinite(scores[f"{name}loss"]):
                        where = first_nonfinite(net, loss, loop.state.params, x, y, loop.state.key)
                        raise NonFiniteError(epoch=loop.epochs, split=SPLITS[name], where=where)
                for name, value in scores.items():
                    history.setdefault(name, []).append(value)
                progress.show(loop.epochs, scores)
                if on_epoch is not None:
                    on_epoch(loop.state, {"epoch": loop.epochs, **scores})
                if patience is not None and scores["val_loss"] < best["loss"]:
                    loop.kept["best"] = loop.state
                    best |= {"epoch": loop.epochs, "loss": scores["val_loss"]}
                loop.pause(scores.get("val_loss", scores["loss"]))
    finally:
        progress.clear()
    return loop.kept.get("best", loop.state), history


def _check_going_on(
    loop: Loop, epochs: int, prefixes: list[str], metrics: Sequence[Metric], patience: int | None
) -> None:
    """Raise unless the checkpoints that a loop goes on from, if it does, are of what fit was asked for."""
    now = {
        "scores": [prefix + name for prefix in prefixes for name in ("loss", *(m.__name__ for m in metrics))],
        "patience": "none" if patience is None else "some",  # more of it goes on where there was less
    }
    there = loop.memory.setdefault("asked", now)
    if loop.checkpoints is None:
        return
    loop.checkpoints.refuse_another("training", there, now)
    if (loop.epochs, loop.batch) > (epochs, 0):
        done = loop.epochs + loop.batch / loop.batches
        loop.checkpoints.refuse(f"{done:.3g} epochs, more than epochs, {epochs}")


def _check(
    state: Any,
    step: Any,
    train: Any,
    net: Any,
    loss: Any,
    epochs: Any,
    batch_size: Any,
    validation: Any,
    metrics: Any,
    patience: Any,
    on_epoch: Any,
) -> None:
    check_state("fit", state)
    checks.net("fit", net)
    checks.loss("fit", loss)
    if on_epoch is not None:
        checks.function("fit", "on_epoch", on_epoch)
    checks.positive_integer("fit", "epochs", epochs)
    checks.positive_integer("fit", "batch_size", batch_size)
    if patience is not None:
        checks.positive_integer("fit", "patience", patience)
        if validation is None:
            raise ValueError(
                f"fit: patience, {patience}, watches the validation loss, and there is no validation set"
            )
    checks.metrics("fit", metrics)
    for name, split in {"train": train, "validation": validation}.items():
        if split is None and name == "validation":
            continue
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise TypeError(f"fit: {name} should be a pair (x, y), got {type(split).__name__}")
        x, y = split
        checks.examples(f"{name} x", x, "fit")
        checks.array(f"{name} y", y, "fit")
        checks.batch(f"fit: {name}", x, y)
        if x.shape[1:] != train[0].shape[1:]:
            raise ValueError(
                f"fit: validation x should have rows like train x's {train[0].shape[1:]}, got {x.shape[1:]}"
            )
        checks.params("fit", net, state.params, f"{name} x", x)
        prediction = jax.eval_shape(net.apply, state.params, jax.ShapeDtypeStruct(x.shape, x.dtype))
        checks.target("fit", f"{name} y", loss, prediction, y)  # all the targets
        some = net.apply(state.params, x[:batch_size])
        checks.target("fit", f"{name} y", loss, some, y[:batch_size])  # some predictions
        for metric in metrics:
            if (shape := jax.eval_shape(metric, prediction, y).shape) != ():
                raise ValueError(f"fit: metric {metric.__name__} should give one number, got shape {shape}")

    x, y = train
    checks.batches("fit", len(x), batch_size)
    check_step("fit", step, state, x[:batch_size], y[:batch_size])
