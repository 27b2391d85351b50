"""One net trained from many seeds at once: what error bars are made of.

Small nets leave a processor idle. Under `jax.vmap` all seeds train in the time of a few, each from its own
first weights, in its own order, on its own data.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from backhand import checks
from backhand.layer import Layer
from backhand.losses import Loss
from backhand.storage import parameters as files
from backhand.storage.checkpoints import Checkpoints, check_checkpoints
from backhand.storage.digests import fingerprint
from backhand.training.nonfinite import NonFiniteError, first_nonfinite
from backhand.training.progress import Progress
from backhand.training.sitting import (
    Position,
    Sitting,
    another_program,
    ending,
    training,
    with_keys,
    without_keys,
)
from backhand.training.step import (
    Metric,
    Step,
    TrainState,
    check_state,
    check_step,
    init_state,
    make_epoch,
    shuffled,
    still_finite,
)

SeedHistory: TypeAlias = dict[str, dict[str, np.ndarray]]


def init_seeds(
    seeds: Sequence[int], net: Layer, optimizer: optax.GradientTransformation, x: Any
) -> TrainState:
    """The states before the first step, one a seed, stacked along a first axis; x (batch, …) is of one seed.

    Raises as `init_state` does, and TypeError or ValueError where there are no seeds, or one is none.
    """
    if len(seeds) == 0:
        raise ValueError("init_seeds: there should be at least one seed in seeds, got none")
    for seed in seeds:
        checks.seed_in_range("init_seeds", seed)
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return jax.vmap(lambda key: init_state(key, net, optimizer, x))(keys)


def fit_seeds(
    states: TrainState,
    step: Step,
    splits: Mapping[str, tuple[Any, Any]],
    *,
    net: Layer,
    loss: Loss,
    epochs: int,
    batch_size: int,
    metrics: Sequence[Metric] = (),
    progress: Progress | None = None,
    on_chunk: Callable[[int, TrainState, SeedHistory], None] | None = None,
    chunks: int = 50,
    checkpoints: Checkpoints | None = None,
    kept: dict[str, np.ndarray] | None = None,
) -> tuple[TrainState, SeedHistory]:
    """Train all seeds for a number of epochs; return their last states and their history.

    Args:
      states: from `init_seeds`. They are left as they are.
      step: from `make_step`.
      splits: (x, y) by name, x (seeds, examples, …) and y (seeds, examples, …). "train" is trained on;
        all are scored after every epoch.
      net, loss: what `step` trains; here they only score.
      epochs, batch_size: as in `fit`; each seed shuffles in its own order.
      metrics: what to score beside the loss, such as `[accuracy]`.
      progress: the progress line, where it has a label, or is one for several trainings.
      on_chunk: called with the number of epochs done (0 at first), the states then, and the history since the
        last call (at first {}), about `chunks` times: what an interruption should not lose is saved here.
      chunks: in about how many pieces to train; between them there is progress, and Ctrl-C is heard.
      checkpoints: where to write checkpoints after a chunk, and to go on from the newest, as in `fit`. `on_chunk` is
        not called for chunks that are done.
      kept: arrays by name that `on_chunk` leaves for later; they are in each checkpoint, and come back from it.

    Returns:
      The states, and `history[split][metric]` of shape (epochs, seeds), "loss" among the metrics. All
      scores are of the params after the epoch, by `net.apply`.

    Raises TypeError or ValueError, before the first step, where data or sizes don't fit; and NonFiniteError after
    a chunk in which a seed's loss, a parameter or a number of the optimizer's became NaN or infinite, which on_chunk
    is not told of. The error says at which step, and in which layer: that seed's steps are taken again, alone.
    """
    _check(states, step, splits, net, loss, epochs, batch_size, metrics, chunks)
    check_checkpoints("fit_seeds", checkpoints)
    train_epoch = make_epoch(step, batch_size)
    names = ["loss", *(metric.__name__ for metric in metrics)]

    def scores(params: Any, x: Any, y: Any) -> dict[str, Any]:
        prediction = net.apply(params, x)
        value, _ = loss.forward(prediction, y)
        return dict(zip(names, [value, *(metric(prediction, y) for metric in metrics)], strict=True))

    def epoch(state: TrainState, splits: Mapping[str, tuple[Any, Any]]) -> Any:
        state, _ = train_epoch(state, *splits["train"])
        return state, {name: scores(state.params, *split) for name, split in splits.items()}

    @partial(jax.jit, static_argnames="count")
    def advance(states: TrainState, splits: Mapping[str, tuple[Any, Any]], count: int) -> Any:
        after, scored = jax.lax.scan(lambda states, _: jax.vmap(epoch)(states, splits), states, length=count)
        return after, scored, jax.vmap(still_finite)(states, after)

    splits = jax.device_put({name: tuple(split) for name, split in splits.items()})
    size = -(-epochs // chunks)
    history: SeedHistory = {}
    programs: list[str] = []  # fingerprints of what trained
    kept, done = {} if kept is None else kept, 0

    def position() -> Position:
        arrays = files.named_arrays({"states": without_keys(states), "history": history, "kept": kept})
        at = {"training": this, "epochs": done, "programs": programs}
        return Position(int(states.step[0]), arrays, at)

    if checkpoints is not None:
        x, y = splits["train"]
        this = training(batch_size, x.shape[1] // batch_size, states.key, x, y)
        this |= {"chunk": size, "scores": dict.fromkeys(splits, names)}
        if (saved := checkpoints.restore()) is not None:
            checkpoints.refuse_another("training", saved.memory["training"], this)
            done, programs = saved.memory["epochs"], saved.memory["programs"]
            if done > epochs:
                checkpoints.refuse(f"{done} epochs, more than epochs, {epochs}")
            states = with_keys(checkpoints.as_tree(saved, without_keys(states), "states."), states)
            if done > 0:
                shape = {split: dict.fromkeys(names, 0) for split in splits}
                history = files.arrays_as(shape, saved.arrays, "history.")
            kept |= {
                name.removeprefix("kept."): a for name, a in saved.arrays.items() if name.startswith("kept.")
            }
        if done < epochs:
            program = fingerprint(advance.lower(states, splits, size).compile().as_text() or "")
            if programs[-1:] != [program]:
                if programs:
                    another_program(checkpoints)
                programs.append(program)
    progress = progress or Progress(epochs)
    sitting = Sitting(checkpoints, position, lambda: ending(states, "+".join(programs)))
    try:
        with sitting:
            if on_chunk is not None and done == 0:
                on_chunk(0, states, {})
            while done < epochs:
                start = states
                states, piece, finite = advance(states, splits, min(size, epochs - done))
                piece = jax.tree.map(np.asarray, piece)
                bad = ~np.all([np.isfinite(scored["loss"]) for scored in piece.values()], axis=0)
                bad[-1] |= ~np.asarray(finite)
                if bad.any():
                    at, seed = (int(i) for i in np.argwhere(bad)[0])
                    epochs_again = range(done + 1, done + at + 2)
                    raise _error(start, splits, seed, step, net, loss, batch_size, epochs_again)
                history = jax.tree.map(lambda *parts: np.concatenate(parts), *[history] * (done > 0), piece)
                done = min(done + size, epochs)
                progress.show(
                    done,
                    {
                        f"{split} {name}": float(values[-1].mean())
                        for split, scored in history.items()
                        for name, values in scored.items()
                    },
                )
                if on_chunk is not None:
                    on_chunk(done, states, piece)
                sitting.pause()
    finally:
        progress.clear()
    return states, history


def _error(
    states: TrainState,
    splits: Mapping[str, tuple[Any, Any]],
    seed: int,
    step: Step,
    net: Layer,
    loss: Loss,
    batch_size: int,
    epochs: range,
) -> NonFiniteError:
    """What one seed's steps, taken again through some epochs, say of where a number stopped being finite."""
    states = states._replace(key=jax.random.clone(states.key))
    state, splits = jax.tree.map(lambda a: a[seed], (states, splits))
    x, y = splits["train"]
    for epoch in epochs:
        for batch, rows in enumerate(shuffled(state, len(x), batch_size), start=1):
            after, value = step(state, x[rows], y[rows])
            if not (jnp.isfinite(value) & still_finite(state, after)):
                key = jax.random.fold_in(state.key, state.step)
                where = first_nonfinite(net, loss, state.params, x[rows], y[rows], key)
                return NonFiniteError(epoch=epoch, step=int(state.step), batch=batch, seed=seed, where=where)
            state = after
    for split, (x, y) in splits.items():
        if where := first_nonfinite(net, loss, state.params, x, y, state.key):
            return NonFiniteError(epoch=epochs[-1], split=split, seed=seed, where=where)
    return NonFiniteError(epoch=epochs[-1], seed=seed)


def _check(
    states: Any,
    step: Any,
    splits: Any,
    net: Any,
    loss: Any,
    epochs: Any,
    batch_size: Any,
    metrics: Any,
    chunks: Any,
) -> None:
    check_state("fit_seeds", states)
    if len(states.key.shape) != 1:
        raise ValueError(
            f"fit_seeds: states should have one axis of seeds, as init_seeds gives, got a key of shape "
            f"{states.key.shape}"
        )
    checks.net("fit_seeds", net)
    checks.loss("fit_seeds", loss)
    checks.metrics("fit_seeds", metrics)
    for name, count in {"epochs": epochs, "batch_size": batch_size, "chunks": chunks}.items():
        checks.positive_integer("fit_seeds", name, count)
    if not isinstance(splits, Mapping):
        raise TypeError(f"fit_seeds: splits should be (x, y) by name, got {type(splits).__name__}")
    if "train" not in splits:
        raise ValueError(f"fit_seeds: splits should have one called train, got {', '.join(splits) or 'none'}")
    alone = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), states)
    for name, (x, y) in splits.items():
        checks.examples(f"{name} x", x, "fit_seeds")
        checks.array(f"{name} y", y, "fit_seeds")
        if x.shape[:2] != y.shape[:2] or len(x) != len(states.key):
            raise ValueError(
                f"fit_seeds: {name} should have an example axis after one of {len(states.key)} seeds, got "
                f"x {x.shape} and y {y.shape}"
            )
        checks.params("fit_seeds", net, alone.params, f"{name} x", x[0])
        prediction = jax.vmap(net.apply)(states.params, jnp.asarray(x))
        for seed in range(len(x)):
            checks.target("fit_seeds", f"{name} y", loss, prediction[seed], y[seed])
    x, y = splits["train"]
    checks.batches("fit_seeds", x.shape[1], batch_size)
    check_step("fit_seeds", step, alone, x[0, :batch_size], y[0, :batch_size])
