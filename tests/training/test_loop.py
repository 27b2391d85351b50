"""The engine: how a training is cut into calls changes nothing, nor does being killed."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.storage import parameters
from backhand.training import NonFiniteError, loop
from backhand.training.step import shuffled
from tests.training.small import (
    BATCH_SIZE,
    BATCHES,
    DIVERGING,
    EPOCHS,
    RECORDED,
    START,
    STARTS,
    TRAIN,
    TRAINING,
    VALIDATION,
    Calls,
    X,
    Y,
    assert_close,
    bits,
    fitted,
    key,
    keys,
    variant,
)

SHORT, LONG = 0.0, 1e9  # seconds: calls of one step, and of as many as there may be
KINDS = {
    "one net": {},
    "one net, all recorded": RECORDED,
    "many nets, all recorded": {"state": STARTS} | RECORDED,
}


@pytest.fixture
def calls(monkeypatch):
    """Set how long a call takes."""
    return lambda seconds: monkeypatch.setattr(loop, "CALL", seconds)


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_of_calls_changes_no_bit(calls, kind):
    ends, told = [], []
    for seconds in (SHORT, LONG):
        calls(seconds)
        ends.append(bits(fitted(progress=(progress := Calls(EPOCHS)), **KINDS[kind])))
        told.append([epochs for epochs, _ in progress.told])
    assert ends[0] == ends[1]
    steps = EPOCHS * BATCHES
    np.testing.assert_allclose(told[0], np.arange(1, steps + 1) / BATCHES)
    # Until one epoch has been timed, with its scores, no call goes beyond an epoch's end.
    np.testing.assert_allclose(told[1], np.array([1, BATCHES, steps]) / BATCHES)


def test_a_call_that_may_end_an_epoch_does():
    data = {"train": (jnp.asarray(X), jnp.asarray(Y))}
    running = loop.Loop(loop.Plan(TRAINING, BATCH_SIZE), START, data)
    running._steps, running._timed = 2 * BATCHES + 3, True
    running.advance(30)
    assert running.done == 2 * BATCHES


@pytest.mark.parametrize("by", ["epoch", pytest.param("step", marks=pytest.mark.slow)])
def test_its_steps_are_those_of_make_epoch_and_of_make_step(by):
    state, history = fitted(epochs=3)
    other, step = jax.tree.map(jnp.copy, START), bh.make_step(TRAINING)
    epoch = bh.make_epoch(TRAINING, BATCH_SIZE)
    for number, loss in enumerate(history["loss"]):
        if by == "epoch":
            other, values = epoch(other, *map(jnp.asarray, TRAIN))
        else:
            values = []
            for rows in np.asarray(shuffled(START.key, number, len(X), BATCH_SIZE)):
                other, value = step(other, X[rows], Y[rows])
                values.append(value)
        np.testing.assert_allclose(loss, np.mean(values), rtol=1e-12)
    assert_close(state._replace(key=0), other._replace(key=0), rtol=1e-12)
    assert state.step == 3 * BATCHES


@pytest.mark.parametrize("limit", ["ROWS", pytest.param("ROWS_BYTES", marks=pytest.mark.slow)])
def test_a_call_records_as_many_epochs_as_it_may(calls, monkeypatch, limit):
    """And the others when it is called again."""
    calls(LONG)
    monkeypatch.setattr(loop, limit, {"ROWS": 2, "ROWS_BYTES": 17}[limit])  # two float64

    def observe(params):  # a function of its own, and so a program of its own
        return {}

    _, history = fitted(epochs=7, observe=observe, progress=(progress := Calls(7)))
    assert [epochs * BATCHES for epochs, _ in progress.told] == [1, 7, 21, 35, 49]
    np.testing.assert_array_equal(history["loss"], fitted(epochs=7)[1]["loss"])


def test_trainings_of_one_plan_share_a_program_and_old_programs_go():
    def planned():
        training = variant(optimizer=optax.sgd(0.1))
        plan = loop.Plan(training, BATCH_SIZE)
        assert loop._program(plan) is loop._program(plan._replace(metrics=()))
        return weakref.ref(training)

    trainings = [planned() for _ in range(20)]
    gc.collect()
    assert sum(training() is not None for training in trainings) <= 8
    loop._program.cache_clear()


def test_a_checkpoint_is_a_value():
    """What it has in it, which `fit` hands to Checkpoints; making it changes nothing."""
    training = loop.Loop(loop.Plan(TRAINING, BATCH_SIZE), START, {"train": TRAIN})
    first = training.checkpoint({"batch_size": 7})
    assert (first.step, first.score, training.last(), training.history) == (0, None, {}, {})
    assert first.facts == {"training": {"batch_size": 7}, "best_epoch": 0}
    while not training.epochs:
        training.advance(1)
    saved = training.checkpoint({})
    assert (saved.step, saved.score) == (BATCHES, training.last()["loss"])
    state = parameters.arrays_as(START._replace(key=0), saved.arrays, "state.")
    assert bits(state.params) == bits(training.position.state.params)
    np.testing.assert_array_equal(
        saved.arrays["state.key"], jax.random.key_data(training.position.state.key)
    )
    np.testing.assert_array_equal(saved.arrays["history.loss"], [np.mean(saved.arrays["losses"])])


def planted(k):
    """A layer whose forward gives NaN if it is passed this key, as the right one of 0/0 would."""

    def forward(params, x, key):
        bad = (jax.random.key_data(key) == jax.random.key_data(k)).all()
        return x + jnp.where(bad, np.nan, 0.0), ()

    return bh.Layer(
        lambda key, x: (), lambda params, x: x, forward, lambda params, r, dy: ((), dy), "planted"
    )


def layer_key(run_key, step, layer, layers):
    """What `serial` passes to one of its layers at a step."""
    return jax.random.split(jax.random.fold_in(run_key, step), layers)[layer]


@pytest.mark.parametrize(
    ("seed", "step"),
    [(2, 37), *(pytest.param(seed, 137, marks=pytest.mark.slow) for seed in (None, 2))],
)
def test_nan_planted_at_a_step_is_found_there(calls, seed, step):
    run_key = jax.random.clone(START.key if seed is None else STARTS.key)
    key = layer_key(run_key if seed is None else run_key[seed], step, layer=2, layers=4)
    net = bh.serial(bh.linear(6), bh.tanh, planted(key), bh.linear(3))
    whose = "" if seed is None else " of net 2"
    for seconds in (SHORT, LONG):
        calls(seconds)
        says = rf"training{whose} stopped at step {step} \(epoch .*\): .*layer 3, planted"
        with pytest.raises(NonFiniteError, match=says) as caught:
            fitted(training=variant(net=net), epochs=30, state=START if seed is None else STARTS)
        error = caught.value
        epoch, batch = divmod(step, BATCHES)
        assert (error.step, error.seed) == (step, seed)
        assert (error.epoch, error.batch) == (epoch + 1, batch + 1)
        assert (error.split, error.where.path) == (None, (2,))


@pytest.mark.slow
def test_the_batch_that_failed_is_inspected_again_with_its_own_data():
    """One row of one net's data, at whatever step the shuffling brings it."""

    def forward(params, x):
        return jnp.where(x > 9, jnp.nan, x), ()

    plant = bh.deterministic(lambda key, x: (), forward, lambda p, r, dy: ((), dy), "plant")
    training = variant(net=bh.serial(plant, bh.linear(3)))
    x = np.stack([X, X, X])
    x[1, 13, 3] = 10
    with pytest.raises(NonFiniteError) as caught:
        fitted(training=training, key=keys(), train=(x, np.stack([Y] * 3)), data_per_key=True)
    run_key = bh.init_state(training, keys()[1], X).key
    orders = np.concatenate([shuffled(run_key, e, len(X), BATCH_SIZE) for e in range(EPOCHS)])
    (step, row), *_ = np.argwhere(orders == 13)
    error = caught.value
    assert (error.seed, error.step) == (1, step)
    assert (error.where.layer, error.where.path) == ("plant", (0,))
    assert error.where.entry == (row, 3)


def clock(stop):
    """A layer that counts steps of sgd(0.1) from where init begins; `apply` is NaN after `stop`."""
    return bh.Layer(
        lambda key, x: jax.random.uniform(key, (), x.dtype),
        lambda count, x: x + jnp.where(count > stop, jnp.nan, 0.0),
        lambda count, x, key: (x, ()),
        lambda count, residuals, dy: (-jnp.ones_like(count), dy),
        "clock",
    )


CLOCK = variant(net=bh.serial(clock(1.8), bh.linear(3)), optimizer=optax.sgd(0.1))


@pytest.mark.parametrize("many", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_nan_in_a_score_is_found_after_its_epoch(calls, many):
    states = bh.init_state(CLOCK, keys(), X)
    ends = np.ceil((1.8 - np.array(states.params[0])) / (0.1 * BATCHES))
    assert ends.tolist() == [3, 2, 2]
    epoch, seed, state = (2, 1, states) if many else (3, None, bh.init_state(CLOCK, keys()[0], X))
    whose = " of net 1" if many else ""
    says = f"training{whose} stopped after epoch {epoch}, scored on all of validation: .*by apply"
    for seconds in (SHORT, LONG):
        calls(seconds)
        with pytest.raises(NonFiniteError, match=says) as caught:
            fitted(training=CLOCK, state=state, validation=VALIDATION)
        error = caught.value
        assert (error.epoch, error.seed, error.split) == (epoch, seed, "validation")
        assert (error.step, error.batch, error.where) == (None, None, None)


@pytest.mark.slow
def test_a_loss_that_diverges_shows_first_in_the_scores(calls):
    """All of the epoch's steps are finite, and the loss after the last of them is not."""
    says = r"scored on all of train: the loss gave inf first at L \(1 of 1 entry, float32\), from"
    epochs = set()
    for seconds in (SHORT, LONG):  # a long call takes steps after it, which are not finite
        calls(seconds)
        with pytest.raises(NonFiniteError, match=says) as caught:
            fitted(**DIVERGING, key=key())
        assert (caught.value.split, caught.value.where.direction) == ("train", "loss")
        assert "Try: a smaller learning rate" in str(caught.value)
        epochs.add(caught.value.epoch)
    assert len(epochs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True])
def test_an_optimizer_that_overflows_stops_the_training(many):
    """Its second moment is infinite and the params are finite: Adam would stand still for ever."""
    big = bh.deterministic(
        lambda key, x: (), lambda p, x: (x, ()), lambda p, r, dy: ((), dy * 1e200), "big"
    )
    training = variant(net=bh.serial(bh.linear(4), big, bh.linear(3)), optimizer=optax.adam(0.1))
    with pytest.raises(NonFiniteError, match=r"stopped at step 0 .*; the optimizer's update"):
        fitted(training=training, key=keys() if many else key(), epochs=1)


@pytest.mark.slow
def test_what_an_optimizer_starts_from_may_be_infinite():
    lowest = optax.GradientTransformation(
        lambda params: {"lowest": jnp.inf * jnp.ones(2), "key": jax.random.key(3)},
        lambda updates, state, params=None: (updates, state),
    )
    training = variant(net=bh.linear(3), optimizer=optax.chain(optax.sgd(0.1), lowest))
    state, _ = fitted(training=training, key=key(), epochs=1)
    assert np.isinf(state.opt_state[1]["lowest"]).all()


def test_whether_numbers_are_still_finite():
    def state(first, second=(0.0, 0.0), many=True):
        trees = (jnp.array(first), (jnp.array(second), jnp.arange(2)))
        return bh.TrainState(*trees, step=0, key=None)

    some = state([1.0, jnp.inf])
    assert list(loop.still_finite(some, some, True)) == [True, True]
    assert loop.still_finite(some, some, False)
    for after, wanted in [
        (state([jnp.nan, 1.0]), [False, True]),
        (state([1.0, 1.0], [0.0, -jnp.inf]), [True, False]),
        (state([1.0, jnp.nan]), [True, True]),
    ]:
        assert list(loop.still_finite(some, after, True)) == wanted
        assert loop.still_finite(some, after, False) == all(wanted)
