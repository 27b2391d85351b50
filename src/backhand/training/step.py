"""The pure core of training: a state goes in, with data, and the next state comes out.

    step  (state, x, y) -> (state, value)      one minibatch
    epoch (state, x, y) -> (state, values)     one pass over the data

All randomness comes from the state's key and the step's number, so a state says everything about
how training continues from it.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from backhand import checks
from backhand.layer import Array, HostOrDevice, Key, Params, Shaped, Tree
from backhand.training.training import Training, check_training

# Steps fold their number into the run's key; shuffling first folds in this, a number no step has.
SHUFFLE = np.uint32(2**32 - 1)


# For a program that runs once: compiling its random draws is dear, and running them is cheap.
ONCE = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


class TrainState(NamedTuple):
    """Everything that training changes, and the run's key, which it does not."""

    params: Params
    opt_state: Tree
    step: Array  # int32, the number of steps taken
    key: Key  # the run's


Step: TypeAlias = Callable[[TrainState, HostOrDevice, HostOrDevice], tuple[TrainState, Array]]


def init_state(training: Training, key: Key, x: Shaped) -> TrainState:
    """The state before the first step, with fresh params for inputs like x (batch, …).

    With an array of keys (n,), the states of n nets: every leaf has an axis of n in front.

    Raises TypeError or ValueError if key is not a typed key or an array of them, x does not suit
    the net, or the optimizer goes uphill (its learning rate is negative or infinite).
    """
    check_training("init_state", training)
    checks.keys("init_state", "key", key)
    checks.array("init_state", "x", x)
    checks.kept("init_state", "x", x)
    traced = not checks.known(key)
    initial = _initialiser(training, x.shape, jnp.dtype(x.dtype), key.ndim > 0, traced)
    state, down, up = initial(key)
    if not traced:
        checks.descent("init_state", *(float(np.ravel(move)[0]) for move in (down, up)))
    return state


@lru_cache(maxsize=8)
def _initialiser(
    training: Training, shape: tuple[int, ...], dtype: np.dtype, many: bool, traced: bool
) -> Callable[[Key], tuple[TrainState, Array, Array]]:
    """One compiled program for all of it; as a part of a traced one it can't have options."""

    def initial(key: Key) -> tuple[TrainState, Array, Array]:
        init_key, run_key = jax.random.split(key)
        params = training.net.init(init_key, jax.ShapeDtypeStruct(shape, dtype))
        state = TrainState(
            params, training.optimizer.init(params), jnp.zeros((), jnp.int32), run_key
        )
        return state, *checks.descent_moves("init_state", training.optimizer, params)

    initialise = jax.vmap(initial) if many else initial
    return initialise if traced else jax.jit(initialise, compiler_options=ONCE)


def check_state(caller: str, name: str, candidate: object) -> None:
    """Raise TypeError unless the candidate is a TrainState, ValueError if it is gone."""
    if not isinstance(candidate, TrainState):
        raise TypeError(
            f"{caller}: {name} should be a TrainState, from init_state, got "
            f"{type(candidate).__name__}"
        )
    checks.alive(caller, name, candidate.step)  # all of a state is donated together


def _checker(caller: str, training: Training) -> Callable[[TrainState, Shaped, Shaped], None]:
    """A function that raises unless state, x and y suit one another, labels and all."""
    predictions: dict[tuple[tuple[int, ...], np.dtype], Shaped] = {}  # their forms, by x's

    def check(state: TrainState, x: Shaped, y: Shaped) -> None:
        check_state(caller, "state", state)
        checks.batch(caller, x, y)
        form = x.shape, x.dtype
        if form not in predictions:
            checks.params(caller, "x", x, training.net, state.params)
            predictions[form] = jax.eval_shape(training.net.apply, state.params, x)
        checks.target(caller, "y", training.loss, predictions[form], y)

    return check


def pure_step(training: Training) -> Step:
    """One step of minibatch gradient descent, neither compiled nor checked."""
    gradient, optimizer = training.gradient(training.net, training.loss), training.optimizer

    def step(state: TrainState, x: HostOrDevice, y: HostOrDevice) -> tuple[TrainState, Array]:
        key = jax.random.fold_in(state.key, state.step)
        value, dparams = gradient(state.params, x, y, key)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its int32 counts with floats
            updates, opt_state = optimizer.update(dparams, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1, state.key), value

    return step


def make_step(training: Training) -> Step:
    """One compiled step: the gradient at a batch, and the optimizer's answer to it.

    The returned `step(state, x, y)` gives the next state, and the batch's loss before the step.
    Raises TypeError if `training` is not a Training.
    """
    check_training("make_step", training)
    check, jitted = _checker("step", training), jax.jit(pure_step(training))

    def step(state: TrainState, x: HostOrDevice, y: HostOrDevice) -> tuple[TrainState, Array]:
        check(state, x, y)
        after: tuple[TrainState, Array] = jitted(state, x, y)
        return after

    return step


def shuffled(key: Key, epoch: Array | int, examples: int, batch_size: int) -> Array:
    """Row numbers (batches, batch_size) of an epoch: a new permutation of the examples each epoch.

    Batches have one fixed shape, so each epoch leaves out the examples % batch_size last rows of
    its permutation. A batch of all examples keeps their order.
    """
    batches = examples // batch_size
    if batch_size == examples:  # their order would change nothing but rounding
        return jnp.arange(examples, dtype=jnp.int32)[None]
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, SHUFFLE), epoch)
    # One sort, by a random number each; jax.random.permutation sorts twice, lest two be equal, and
    # takes three times as long to compile and to run. Equal ones keep their order here.
    numbers = jax.random.bits(epoch_key, (examples,), jnp.uint32)
    _, order = jax.lax.sort_key_val(numbers, jnp.arange(examples, dtype=jnp.int32))
    return order[: batches * batch_size].reshape(batches, batch_size)


def make_epoch(training: Training, batch_size: int) -> Step:
    """One compiled epoch: a scan of steps over a seeded permutation of the data.

    The returned `epoch(state, x, y)` gives the next state and the loss of each batch (batches,). It
    *donates* the state: its memory is used for the next one, and the state passed in is gone.
    Raises ValueError if there are fewer examples than `batch_size`, or x and y differ in length.
    """
    check_training("make_epoch", training)
    checks.positive_integer("make_epoch", "batch_size", batch_size)
    check, step = _checker("epoch", training), pure_step(training)

    @partial(jax.jit, donate_argnames="state")
    def jitted(state: TrainState, x: Array, y: Array) -> tuple[TrainState, Array]:
        def body(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
            return step(state, x[rows], y[rows])

        epoch = state.step // (len(x) // batch_size)
        return jax.lax.scan(body, state, shuffled(state.key, epoch, len(x), batch_size))

    def epoch(state: TrainState, x: HostOrDevice, y: HostOrDevice) -> tuple[TrainState, Array]:
        check(state, x, y)
        checks.batches("epoch", len(x), batch_size)
        after: tuple[TrainState, Array] = jitted(state, x, y)
        return after

    return epoch
