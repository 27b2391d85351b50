"""Training, the pure core: a state goes in, with data, and the next state comes out.

    step  (state, x, y) -> (state, value)      one minibatch
    epoch (state, x, y) -> (state, values)     one pass over the data

All randomness comes from the state's key, folded with the step's number, so that a state says everything
about how training goes on from it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from backhand import checks
from backhand.gradients import Gradient
from backhand.layer import Layer, Params
from backhand.losses import Loss

# Steps fold their number into the run's key; the shuffling folds this in first, a number no step has.
SHUFFLE = np.uint32(2**32 - 1)


class TrainState(NamedTuple):
    """Everything training changes, and the run's key, which it does not."""

    params: Params
    opt_state: Any
    step: Any  # int32, the number of steps taken
    key: Any  # the run's typed key


Step: TypeAlias = Callable[[TrainState, Any, Any], tuple[TrainState, Any]]
Metric: TypeAlias = Callable[[Any, Any], Any]


def init_state(key: jax.Array, net: Layer, optimizer: optax.GradientTransformation, x: Any) -> TrainState:
    """The state before the first step, with fresh params for inputs like x (batch, …), array or ShapeDtypeStruct.

    Raises TypeError or ValueError where key is not one typed key, net not a Layer, optimizer not one of
    optax's or not one that goes downhill (a negative or infinite learning rate), or x does not suit the net.
    """
    checks.key("init_state", key)
    checks.net("init_state", net)
    checks.optimizer("init_state", optimizer)
    checks.array("x", x, "init_state")
    checks.floating("x", x, "init_state")
    init_key, run_key = jax.random.split(key)
    params = net.init(init_key, x)
    checks.descent("init_state", optimizer, params)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), run_key)


def check_state(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is a TrainState."""
    if not isinstance(candidate, TrainState):
        raise TypeError(
            f"{caller}: state should be a TrainState, from init_state, got {type(candidate).__name__}"
        )


def check_step(caller: str, step: Any, state: TrainState, x: Any, y: Any) -> None:
    """Raise unless step is a function that makes of this state, with a batch like x, y, another such state."""
    checks.function(caller, "step", step, "make_step(gradient, optimizer)")
    try:
        after, _ = jax.eval_shape(step, state, x, y)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{caller}: step can't be taken from this state; were both made with one optimizer? {error}"
        ) from error
    checks.same_tree(caller, "the state after a step", after, state)


def still_finite(before: TrainState, after: TrainState) -> Any:
    """Whether all numbers in a state are finite that were so before: some optimizers start from infinity."""
    finite = jnp.array(True)
    trees = ((state.params, state.opt_state) for state in (before, after))
    for was, now in zip(*map(jax.tree.leaves, trees), strict=True):
        if jnp.issubdtype(now.dtype, jnp.inexact):
            finite &= (jnp.isfinite(now) | ~jnp.isfinite(was)).all()
    return finite


def make_step(gradient: Gradient, optimizer: optax.GradientTransformation) -> Step:
    """One jitted step of minibatch gradient descent: the gradient at a batch, and the optimizer's answer to it.

    `gradient` is `manual(net, loss)` or `autodiff(net, loss)`. The returned `step(state, x, y)` gives the
    next state and the batch's loss before the step. Raises TypeError where gradient is not a function or optimizer
    not one of optax's.
    """
    checks.function("make_step", "gradient", gradient, "manual(net, loss)")
    checks.optimizer("make_step", optimizer)

    @jax.jit
    def jitted(state: TrainState, x: Any, y: Any) -> tuple[TrainState, Any]:
        key = jax.random.fold_in(state.key, state.step)
        value, dparams = gradient(state.params, x, y, key)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its int32 counts with floats
            updates, opt_state = optimizer.update(dparams, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1, state.key), value

    def step(state: TrainState, x: Any, y: Any) -> Any:
        check_state("step", state)
        checks.batch("step", x, y)
        return jitted(state, x, y)

    return step


def shuffled(state: TrainState, examples: int, batch_size: int) -> Any:
    """Row numbers (batches, batch_size) of the epoch that `state` is in: a fresh permutation each epoch.

    Batches have one fixed shape, so the examples % batch_size last rows of a permutation sit this epoch out.
    """
    batches = examples // batch_size
    epoch_key = jax.random.fold_in(jax.random.fold_in(state.key, SHUFFLE), state.step // batches)
    return jax.random.permutation(epoch_key, examples)[: batches * batch_size].reshape(batches, batch_size)


def make_epoch(step: Step, batch_size: int) -> Callable[[TrainState, Any, Any], tuple[TrainState, Any]]:
    """One epoch, jitted: a scan of steps over a seeded permutation of the data.

    The returned `epoch(state, x, y)` gives the next state and the loss of each batch (batches,). It
    *donates* the state: its memory is used for the next one, and the state that was passed in is gone.
    Raises ValueError where there are fewer examples than `batch_size`, or x and y differ in length.
    """
    checks.function("make_epoch", "step", step, "make_step(gradient, optimizer)")
    checks.positive_integer("make_epoch", "batch_size", batch_size)

    @partial(jax.jit, donate_argnames="state")
    def jitted(state: TrainState, x: Any, y: Any) -> tuple[TrainState, Any]:
        def body(state: TrainState, rows: Any) -> tuple[TrainState, Any]:
            return step(state, x[rows], y[rows])

        return jax.lax.scan(body, state, shuffled(state, len(x), batch_size))

    def epoch(state: TrainState, x: Any, y: Any) -> Any:
        check_state("epoch", state)
        checks.batch("epoch", x, y)
        checks.batches("epoch", len(x), batch_size)
        return jitted(state, x, y)

    return epoch


def evaluate(
    net: Layer,
    loss: Loss,
    params: Params,
    x: Any,
    y: Any,
    metrics: Sequence[Metric] = (),
    batch_size: int = 1024,
) -> dict[str, float]:
    """The loss and the metrics, by name, of `net.apply` on all of x and y, every example counted once.

    Predictions are made `batch_size` rows at a time, to bound memory; loss and metrics then see them all
    at once, so that a metric need not be a mean. Raises TypeError or ValueError where x is not floating
    and finite, params are not the net's, and as `loss.check` does.
    """
    checks.net("evaluate", net)
    checks.loss("evaluate", loss)
    checks.metrics("evaluate", metrics)
    checks.examples("x", x, "evaluate")
    checks.batch("evaluate", x, y)
    checks.positive_integer("evaluate", "batch_size", batch_size)
    checks.params("evaluate", net, params, "x", x)
    checks.target("evaluate", "y", loss, jax.eval_shape(net.apply, params, x), y)
    return score(net, loss, params, x, y, metrics, batch_size)


def score(
    net: Layer,
    loss: Loss,
    params: Params,
    x: Any,
    y: Any,
    metrics: Sequence[Metric] = (),
    batch_size: int = 1024,
) -> dict[str, float]:
    """`evaluate` for x that has been checked: `fit` does that once, not each epoch."""
    starts = range(0, max(len(x), 1), batch_size)
    prediction = jnp.concatenate([_apply(net, params, x[start : start + batch_size]) for start in starts])
    loss.check(prediction, y)
    names = ["loss", *(metric.__name__ for metric in metrics)]
    return dict(zip(names, map(float, _score(loss, tuple(metrics), prediction, y)), strict=True))


@partial(jax.jit, static_argnames="net")
def _apply(net: Layer, params: Params, x: Any) -> Any:
    return net.apply(params, x)


@partial(jax.jit, static_argnames=("loss", "metrics"))
def _score(loss: Loss, metrics: tuple[Metric, ...], prediction: Any, y: Any) -> tuple[Any, ...]:
    value, _ = loss.forward(prediction, y)
    return value, *(metric(prediction, y) for metric in metrics)
