"""The pure core: `init_state`, a step, an epoch, and how examples are shuffled."""

import dataclasses
from functools import lru_cache
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.training import OPTIMIZERS, Optimizer
from backhand.training.step import shuffled
from tests.training.small import TRAINING, bits, key, keys

BY_HAND = bh.Training(
    bh.serial(bh.linear(8), bh.tanh, bh.linear(3)), bh.softmax_cross_entropy, optax.adam(1e-2)
)
N, BATCH = 70, 16
X = np.random.default_rng(0).normal(size=(N, 5))
Y = (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0.5)


@lru_cache
def training_by(gradient):
    training = dataclasses.replace(BY_HAND, gradient=gradient)
    return training, bh.make_epoch(training, BATCH)


def like(dtype=jnp.float64):
    return jax.ShapeDtypeStruct((BATCH, *X.shape[1:]), dtype)


def fresh(dtype=jnp.float64, seed=0):
    return bh.init_state(BY_HAND, jax.random.key(seed), like(dtype))


def test_a_training_is_frozen_and_can_be_looked_up():
    assert dataclasses.replace(BY_HAND) == BY_HAND
    assert len({BY_HAND, dataclasses.replace(BY_HAND), TRAINING}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        BY_HAND.loss = bh.squared_error


def test_init_state():
    state = fresh()
    assert (state.step, state.step.dtype) == (0, jnp.int32)
    assert bits(state) == bits(fresh())
    assert bits(state.params) != bits(fresh(seed=1).params)
    assert bits(state.key) != bits(key())


def test_init_state_of_many_keys_is_that_of_each():
    many = bh.init_state(BY_HAND, keys(), like())
    assert many.params[0].w.shape == (3, 5, 8)
    assert many.step.shape == many.key.shape == (3,)
    for i in range(3):
        alone = bh.init_state(BY_HAND, keys()[i], like())
        assert bits(many.key[i]) == bits(alone.key)
        for a, b in zip(*(jax.tree.leaves(s[:3]) for s in (many, alone)), strict=True):
            np.testing.assert_array_equal(np.asarray(a)[i], b)


def test_init_state_compiles_once():
    traced = []

    def init(key, x):
        traced.append(x)
        return BY_HAND.net.init(key, x)

    training = dataclasses.replace(BY_HAND, net=BY_HAND.net._replace(init=init))
    for seed in range(3):
        bh.init_state(training, jax.random.key(seed), X)
    assert len(traced) == 1


def test_init_state_traced():
    initial = jax.jit(lambda key: bh.init_state(BY_HAND, key, like()))(key())
    assert bits(initial) == bits(fresh())
    form = jax.eval_shape(lambda key: bh.init_state(BY_HAND, key, X), key())
    assert form.params[0].w.shape == (5, 8)


def is_kernel(params):
    return jax.tree.map(lambda p: p.ndim == 2, params)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(optax.linear_schedule(0.0, 0.1, 10)),  # a warm-up starts at 0
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)),
        optax.chain(optax.masked(optax.add_decayed_weights(1e-4), is_kernel), optax.sgd(0.1)),
    ],
)
def test_good_optimizers_pass(optimizer):
    training = bh.Training(bh.linear(1), bh.squared_error, optimizer)
    bh.init_state(training, key(), np.zeros((2, 5), np.float32))


def test_optimizers_by_name():
    assert set(OPTIMIZERS) == set(get_args(Optimizer))
    for name, moved in {"sgd": [-0.5, -0.5], "momentum": [-0.5, -0.95]}.items():
        optimizer = OPTIMIZERS[name](0.5)
        opt_state = optimizer.init(jnp.zeros(1))
        for step in moved:
            update, opt_state = optimizer.update(jnp.ones(1), opt_state)
            np.testing.assert_allclose(update, [step])


def test_a_step_of_gradient_descent():
    training = dataclasses.replace(BY_HAND, optimizer=optax.sgd(0.5))
    state = fresh()._replace(opt_state=training.optimizer.init(()))
    after, value = bh.make_step(training)(state, X, Y)
    gradient = jax.jit(bh.manual(training.net, training.loss))
    wanted, dparams = gradient(state.params, X, Y, key())
    np.testing.assert_allclose(value, wanted, rtol=1e-14)
    leaves = map(jax.tree.leaves, (after.params, state.params, dparams))
    for new, old, d in zip(*leaves, strict=True):
        np.testing.assert_allclose(new, old - 0.5 * d, rtol=1e-14, atol=1e-16)
    assert (after.step, state.step) == (1, 0)


def test_each_step_has_a_key_of_its_own():
    def gradient(net, loss):
        return lambda params, x, y, key: (
            jax.random.uniform(key, (), jnp.float64), jax.tree.map(jnp.zeros_like, params)
        )  # fmt: skip

    step = bh.make_step(dataclasses.replace(BY_HAND, gradient=gradient))
    state, first = step(fresh(), X, Y)
    _, second = step(state, X, Y)
    assert first != second
    assert step(fresh(), X, Y)[1] == first


@pytest.mark.parametrize(
    ("gradient", "dtype"),
    [
        pytest.param(bh.manual, jnp.float32, marks=pytest.mark.slow),
        (bh.manual, jnp.float64),
        pytest.param(bh.autodiff, jnp.float64, marks=pytest.mark.slow),
    ],
)
def test_an_epoch_is_its_steps_bit_for_bit(gradient, dtype):
    training, epoch = training_by(gradient)
    x, step = X.astype(dtype), bh.make_step(training)
    one_by_one, values = fresh(dtype), []
    for rows in np.asarray(shuffled(one_by_one.key, 0, N, BATCH)):
        one_by_one, value = step(one_by_one, x[rows], Y[rows])
        values.append(value)
    scanned, scanned_values = epoch(fresh(dtype), x, Y)
    assert bits(scanned) == bits(one_by_one)
    assert np.array_equal(scanned_values, values)
    assert scanned.step == N // BATCH


def test_an_epoch_donates_the_state():
    _, epoch = training_by(bh.autodiff)
    state = fresh()
    epoch(state, X, Y)
    assert state.params[0].w.is_deleted()


def test_each_epoch_is_a_new_seeded_permutation():
    shuffle = jax.jit(shuffled, static_argnums=(2, 3))
    first = shuffle(key(), 0, N, BATCH)
    assert first.shape == (N // BATCH, BATCH)
    assert len(np.unique(first)) == first.size
    assert np.array_equal(first, shuffle(key(), 0, N, BATCH))
    assert not np.array_equal(first, shuffle(key(), 1, N, BATCH))
    assert not np.array_equal(first, shuffle(jax.random.key(1), 0, N, BATCH))


def test_every_example_has_its_turn():
    rows = jax.vmap(shuffled, (None, 0, None, None))(key(), np.arange(6), N, BATCH)
    assert set(np.ravel(rows)) == set(range(N))


def test_steps_and_epochs_compile_once():
    traced = []

    def gradient(net, loss):
        def counted(*args):
            traced.append(args)  # when JAX traces the step, not when the step runs
            return bh.manual(net, loss)(*args)

        return counted

    training = dataclasses.replace(BY_HAND, gradient=gradient)
    for take in (bh.make_step(training), bh.make_epoch(training, BATCH)):
        state = fresh()
        for _ in range(3):
            state, _ = take(state, X, Y)
    assert len(traced) == 2


def test_twenty_epochs_by_hand_and_by_autodiff():
    """The bar: in float64, max |Δparams| ≤ 1e-9 after 20 epochs."""
    states = []
    for gradient in (bh.manual, bh.autodiff):
        _, epoch = training_by(gradient)
        state = fresh()
        for _ in range(20):
            state, values = epoch(state, X, Y)
        states.append(state)
    by_hand, by_autodiff = (jax.tree.leaves(state.params) for state in states)
    drift = max(float(abs(a - b).max()) for a, b in zip(by_hand, by_autodiff, strict=True))
    assert drift <= 1e-9
    assert values.mean() < 0.6  # it did learn
