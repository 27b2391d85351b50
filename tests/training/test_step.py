import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from backhand import (
    accuracy,
    autodiff,
    evaluate,
    init_state,
    linear,
    make_epoch,
    make_step,
    manual,
    r2,
    relu,
    serial,
    softmax_cross_entropy,
    squared_error,
    tanh,
)
from backhand.training.step import shuffled
from tests.trees import normal_like, same_bits

NET = serial(linear(16), tanh, linear(8), relu, linear(3))
LOSS = softmax_cross_entropy
ADAM = optax.adam(1e-2)
N, BATCH = 70, 16


def data(dtype=jnp.float64):
    x = normal_like(jnp.zeros((N, 5), dtype), 0)
    return x, (x[:, 0] > 0).astype(jnp.int32) + (x[:, 1] > 0.5).astype(jnp.int32)


def fresh_state(dtype=jnp.float64, seed=0):
    return init_state(jax.random.key(seed), NET, ADAM, jax.ShapeDtypeStruct((BATCH, 5), dtype))


def test_init_state():
    state = fresh_state()
    assert state.step == 0
    assert state.step.dtype == jnp.int32
    assert same_bits(state.params, fresh_state().params)
    assert not same_bits(state.params, fresh_state(seed=1).params)


def test_a_step_of_gradient_descent():
    x, y = data()
    sgd = optax.sgd(0.5)
    state = init_state(jax.random.key(0), NET, sgd, x)
    gradient = manual(NET, LOSS)
    after, value = make_step(gradient, sgd)(state, x, y)
    wanted_value, dparams = gradient(state.params, x, y, jax.random.key(9))
    np.testing.assert_allclose(value, wanted_value, rtol=1e-14)
    for new, old, d in zip(*map(jax.tree.leaves, (after.params, state.params, dparams)), strict=True):
        np.testing.assert_allclose(new, old - 0.5 * d, rtol=1e-14, atol=1e-16)
    assert after.step == 1
    assert state.step == 0


def test_each_step_has_a_key_of_its_own():
    x, y = data()

    def gradient(params, x, y, key):
        return jax.random.uniform(key, (), jnp.float64), jax.tree.map(jnp.zeros_like, params)

    step = make_step(gradient, ADAM)
    state, first = step(fresh_state(), x, y)
    _, second = step(state, x, y)
    assert first != second
    assert step(fresh_state(), x, y)[1] == first


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("gradient", [manual, autodiff])
def test_an_epoch_is_its_steps_bit_for_bit(gradient, dtype):
    x, y = data(dtype)
    step = make_step(gradient(NET, LOSS), ADAM)
    one_by_one, values = fresh_state(dtype), []
    for rows in shuffled(one_by_one, N, BATCH):
        one_by_one, value = step(one_by_one, x[rows], y[rows])
        values.append(value)
    scanned, scanned_values = make_epoch(step, BATCH)(fresh_state(dtype), x, y)
    assert same_bits(scanned.params, one_by_one.params)
    assert same_bits(scanned.opt_state, one_by_one.opt_state)
    assert np.array_equal(scanned_values, values)
    assert scanned.step == N // BATCH


def test_each_epoch_is_a_fresh_seeded_permutation():
    state = fresh_state()
    first = shuffled(state, N, BATCH)
    assert first.shape == (N // BATCH, BATCH)
    assert len(np.unique(first)) == first.size
    second = shuffled(state._replace(step=state.step + N // BATCH), N, BATCH)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, shuffled(fresh_state(), N, BATCH))
    assert np.array_equal(first, shuffled(state._replace(step=state.step + 1), N, BATCH))  # within the epoch
    assert not np.array_equal(first, shuffled(fresh_state(seed=1), N, BATCH))


def test_every_example_has_its_turn():
    state, seen = fresh_state(), set()
    for epoch in range(6):
        seen |= set(
            np.asarray(shuffled(state._replace(step=state.step + epoch * (N // BATCH)), N, BATCH)).ravel()
        )
    assert seen == set(range(N))


def test_one_compilation():
    x, y = data()
    traced = []

    def gradient(*args):
        traced.append(args)  # runs when JAX traces the step, not when the step runs
        return manual(NET, LOSS)(*args)

    step = make_step(gradient, ADAM)
    state = fresh_state()
    for _ in range(3):
        state, _ = step(state, x[:BATCH], y[:BATCH])
    assert len(traced) == 1
    epoch = make_epoch(step, BATCH)
    for _ in range(3):
        state, _ = epoch(state, x, y)
    assert len(traced) == 1  # the scan uses the step as it was traced


def test_twenty_epochs_by_hand_and_by_autodiff():
    """The bar: in float64, max |Δparams| ≤ 1e-9 after 20 epochs."""
    x, y = data()
    states = []
    for gradient in (manual, autodiff):
        epoch = make_epoch(make_step(gradient(NET, LOSS), ADAM), BATCH)
        state = fresh_state()
        for _ in range(20):
            state, values = epoch(state, x, y)
        states.append(state)
    by_hand, by_autodiff = (jax.tree.leaves(state.params) for state in states)
    drift = max(float(abs(a - b).max()) for a, b in zip(by_hand, by_autodiff, strict=True))
    assert drift <= 1e-9
    assert values.mean() < 0.5  # it did learn


def test_evaluate_counts_every_example_once():
    x, y = data()
    params = fresh_state().params
    whole = evaluate(NET, LOSS, params, x, y, [accuracy], batch_size=N)
    assert list(whole) == ["loss", "accuracy"]
    assert whole["loss"] == pytest.approx(float(LOSS.forward(NET.apply(params, x), y)[0]))
    for batch_size in (1, 16, 1000):
        assert evaluate(NET, LOSS, params, x, y, [accuracy], batch_size) == pytest.approx(whole, rel=1e-12)


def test_evaluate_a_metric_that_is_not_a_mean():
    x, _ = data()
    net = serial(linear(1))
    params = net.init(jax.random.key(0), x)
    target = x[:, :1]
    scores = evaluate(net, squared_error, params, x, target, [r2], batch_size=16)
    assert scores["r2"] == pytest.approx(float(r2(net.apply(params, x), target)), rel=1e-12)


def is_kernel(params):
    return jax.tree.map(lambda p: p.ndim == 2, params)


@pytest.mark.parametrize(
    ("position", "value", "error", "says"),
    [
        (0, 0, TypeError, r"key should be a typed key such as jax.random.key\(0\), got 0"),
        (0, jax.random.PRNGKey(0), TypeError, "typed key"),
        (0, jax.random.split(jax.random.key(1)), ValueError, r"array of keys of shape \(2,\)"),
        (1, linear, TypeError, "should be a Layer"),
        (2, 0.01, TypeError, r"one of optax's, such as optax.adam\(1e-3\), got 0.01"),
        (
            2,
            optax.sgd(-0.1),
            ValueError,
            r"should go downhill.*learning rate should be a finite number above 0",
        ),
        (2, optax.adam(float("nan")), ValueError, "should go downhill"),
        (2, optax.adam(float("inf")), ValueError, "should go downhill"),
        (2, optax.scale_by_adam(), ValueError, "scale_by_learning_rate"),
        (
            2,
            optax.masked(optax.sgd(0.1), is_kernel),
            ValueError,
            "go downhill",
        ),  # biases get their bare gradient
        (
            3,
            np.zeros((2, 5), np.uint8),
            TypeError,
            r"x should be floating point, got uint8; x.astype\('float32'\) / 255",
        ),
        (3, [[0.0]], TypeError, "should be an array, got list"),
        (3, np.float32(0), ValueError, "batch axis"),
    ],
)
def test_bad_state(position, value, error, says):
    args = [jax.random.key(0), NET, ADAM, np.zeros((2, 5), np.float32)]
    args[position] = value
    with pytest.raises(error, match=says):
        init_state(*args)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.adamw(1e-3),
        optax.lion(1e-4),
        optax.rmsprop(1e-3),
        optax.adagrad(1e-2),
        optax.sgd(optax.linear_schedule(0.0, 0.1, 10)),  # a warm-up starts at 0
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        optax.chain(optax.masked(optax.add_decayed_weights(1e-4), is_kernel), optax.sgd(0.1)),
    ],
)
def test_good_optimizers_pass(optimizer):
    init_state(jax.random.key(0), NET, optimizer, np.zeros((2, 5), np.float32))


def test_init_state_traced():
    shape = jax.ShapeDtypeStruct((BATCH, 5), jnp.float32)
    jitted = jax.jit(lambda key: init_state(key, NET, ADAM, shape))(jax.random.key(0))
    assert same_bits(jitted.opt_state, fresh_state(jnp.float32).opt_state)
    like = jax.eval_shape(lambda key: init_state(key, NET, ADAM, shape), jax.random.key(0))
    assert like.params[0].w.shape == (5, 16)


def test_an_optimizer_that_needs_the_loss():
    with pytest.raises(TypeError, match="optimizer needs more than gradients, state and params"):
        init_state(jax.random.key(0), NET, optax.lbfgs(), np.zeros((2, 5), np.float32))


def test_init_state_under_vmap():
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.vmap(lambda key: init_state(key, NET, ADAM, jax.ShapeDtypeStruct((BATCH, 5), jnp.float32)))(
        keys
    )
    assert states.params[0].w.shape == (3, 5, 16)


@pytest.mark.parametrize(
    ("batch_size", "error", "says"),
    [
        (0, ValueError, "at least 1, got 0"),
        (N + 1, ValueError, f"number of examples, {N}, got {N + 1}"),
        (1.5, TypeError, "1.5"),
    ],
)
def test_bad_batch_size(batch_size, error, says):
    with pytest.raises(error, match=says):
        make_epoch(make_step(manual(NET, LOSS), ADAM), batch_size)(fresh_state(), *data())


def test_unpaired_data():
    x, y = data()
    with pytest.raises(ValueError, match="as many examples"):
        make_epoch(make_step(manual(NET, LOSS), ADAM), BATCH)(fresh_state(), x, y[:-1])
    with pytest.raises(ValueError, match="as many examples"):
        evaluate(NET, LOSS, fresh_state().params, x, y[:-1])


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.zeros((N, 5)), TypeError, "x is float64, which JAX would silently round to float32"),
        (np.zeros((N, 5), np.uint8), TypeError, r"got uint8; x.astype\('float32'\) / 255"),
        ([[0.0] * 5] * N, TypeError, "x should be an array, got list"),
        (np.zeros((N, 4), np.float32), ValueError, r"shape \(batch, 5\), as its params do, got \(\d+, 4\)"),
    ],
)
def test_bad_data_as_a_user_meets_it(x, error, says):
    """With x64 off, as JAX comes: for a step, an epoch, and an evaluation."""
    with jax.enable_x64(False):
        state = fresh_state(jnp.float32)
        step = make_step(manual(NET, LOSS), ADAM)
        y = np.zeros(N, np.int64)
        for use in (
            lambda: step(state, x, y),
            lambda: make_epoch(step, BATCH)(state, x, y),
            lambda: evaluate(NET, LOSS, state.params, x, y),
        ):
            with pytest.raises(error, match=says):
                use()


def test_evaluate_sees_nan():
    x, y = data()
    with pytest.raises(ValueError, match=r"x should be finite, .* the first is x\[3, 1\] = nan"):
        evaluate(NET, LOSS, fresh_state().params, x.at[3, 1].set(jnp.nan), y)


def test_evaluate_checks_the_labels():
    x, y = data()
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        evaluate(NET, LOSS, fresh_state().params, x, y + 1)
    with pytest.raises(ValueError, match="x is empty"):
        evaluate(NET, LOSS, fresh_state().params, x[:0], y[:0])
