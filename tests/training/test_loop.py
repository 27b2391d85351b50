import gc
import signal
import warnings
import weakref
from functools import partial

import jax
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.storage.checkpoints import Checkpoints
from backhand.training import loop
from backhand.training.nonfinite import NonFiniteError

ADAM = optax.adam(1e-2)
NET = bh.serial(bh.linear(8), bh.relu, bh.dropout(0.2), bh.linear(3))
LOSS = bh.softmax_cross_entropy
STEP = bh.make_step(bh.manual(NET, LOSS), ADAM)
X = np.random.default_rng(0).normal(size=(50, 4))
Y = np.arange(50) % 3
START = bh.init_state(jax.random.key(0), NET, ADAM, X)


class Stopped(Checkpoints):
    """Writes one whenever it can, and is killed as it is about to write the last that is allowed."""

    def __init__(self, folder, allowed=10**9):
        super().__init__(folder, {"seed": 0})
        self.allowed = allowed

    def due(self):
        return True

    def save(self, *args, **kwargs):
        if self.allowed == 0:
            raise SystemExit
        self.allowed -= 1
        super().save(*args, **{**kwargs, "wait": True})


def fitted(checkpoints=None, step=STEP, **options):
    settings = {
        "net": NET,
        "loss": LOSS,
        "epochs": 4,
        "batch_size": 7,
        "validation": (X[:9] + 0.1, Y[:9]),
    } | options
    return bh.fit(START, step, (X, Y), checkpoints=checkpoints, **settings)


def bits(state):
    return [
        np.asarray(leaf).tobytes()
        for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    ]


@pytest.fixture
def single_steps(monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 0.0)


@pytest.fixture(scope="module")
def uninterrupted():
    return fitted()


def test_the_length_of_chunks_changes_no_bit(uninterrupted, single_steps):
    state, history = fitted()
    assert bits(state) == bits(uninterrupted[0])
    assert history == uninterrupted[1]


def test_a_loop_takes_the_steps_that_an_epoch_takes():
    epoch = bh.make_epoch(STEP, 7)
    taken = loop.Loop(START, STEP, (X, Y), net=NET, loss=LOSS, batch_size=7)
    state = jax.tree.map(jax.numpy.copy, START)
    for _ in range(3):
        state, values = epoch(state, jax.numpy.asarray(X), jax.numpy.asarray(Y))
        np.testing.assert_allclose(taken.epoch(), values, rtol=1e-12)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12), taken.state.params, state.params)


@pytest.mark.parametrize("allowed", [1, 2, 5, 7, 8, 9, 16, 28])
def test_killed_and_gone_on_with_it_ends_the_same(tmp_path, allowed, uninterrupted, single_steps):
    with pytest.raises(SystemExit):
        fitted(Stopped(tmp_path, allowed))
    state, history = fitted(again := Stopped(tmp_path))
    assert bits(state) == bits(uninterrupted[0])
    assert history == uninterrupted[1]
    assert again.receipt["step"] == 28
    assert fitted(once_more := Stopped(tmp_path))[1] == history  # that it is done is known, too
    assert once_more.receipt == again.receipt


def test_early_stopping_goes_on_with_the_best_it_had(tmp_path, single_steps):
    options = {"patience": 2, "epochs": 30, "validation": (X[:9] + 0.1, Y[1:10])}
    state, history = fitted(**options)
    assert len(history["loss"]) < 30
    with pytest.raises(SystemExit):
        fitted(Stopped(tmp_path, 7 * len(history["loss"]) - 3), **options)
    again, same = fitted(Stopped(tmp_path), **options)
    assert same == history
    assert bits(again) == bits(state)
    assert bits(fitted(Stopped(tmp_path), **options)[0]) == bits(state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_writes_a_checkpoint_first(
    tmp_path, number, uninterrupted, single_steps, monkeypatch
):
    heard = []
    before = signal.signal(
        number, lambda *_: heard.append(number) or (_ for _ in ()).throw(KeyboardInterrupt)
    )
    try:
        advance, calls = loop.advancing(STEP), []

        def asked(*args):
            calls.append(None)
            if len(calls) == 11:
                signal.raise_signal(number)  # in the midst of a step of the second epoch
            return advance(*args)

        asked.lower = advance.lower
        monkeypatch.setattr(loop, "advancing", lambda step: asked)
        saving = Checkpoints(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            fitted(saving)
        assert heard == [number]
        assert Checkpoints(tmp_path).restore().step == 11
        state, _ = fitted(Checkpoints(tmp_path))
        assert bits(state) == bits(uninterrupted[0])
        assert signal.getsignal(number).__name__ == "<lambda>"
    finally:
        signal.signal(number, before)


OTHER = bh.serial(bh.linear(9), bh.relu, bh.linear(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 8}, "batch_size was 7, and is 8"),
        ({"net": OTHER}, r"state.params.0.w is float64\[4, 8\], not float64\[4, 9\]"),
        ({"seed": 1}, r"another training: key was \["),
        ({"x": 2 * X}, "another training: data_sha256 was"),
        ({"metrics": [bh.accuracy]}, r"scores was \['loss'\], and is \['loss', 'accuracy'\]"),
        ({"validation": (X, Y)}, "scores was"),
        ({"epochs": 1}, "are of 2 epochs, more than epochs, 1"),
    ],
)
def test_another_trainings_checkpoints_are_refused(tmp_path, options, words):
    def trained(net=NET, seed=0, x=X, epochs=2, batch_size=7, **more):
        start = bh.init_state(jax.random.key(seed), net, ADAM, X)
        step = STEP if net is NET else bh.make_step(bh.manual(net, LOSS), ADAM)
        settings = {"net": net, "loss": LOSS, "epochs": epochs, "batch_size": batch_size} | more
        bh.fit(start, step, (x, Y), checkpoints=Checkpoints(tmp_path), **settings)

    trained()
    with pytest.raises(ValueError, match=words):
        trained(**options)


def test_patience_that_was_not_there_is_refused(tmp_path):
    fitted(Checkpoints(tmp_path), epochs=2)
    with pytest.raises(ValueError, match="patience was 'none', and is 'some'"):
        fitted(Checkpoints(tmp_path), patience=2)


def test_other_settings_of_the_optimizer_are_warned_of(tmp_path):
    fitted(Checkpoints(tmp_path), epochs=1)
    with pytest.warns(UserWarning, match="are now taken by another program"):
        fitted(Checkpoints(tmp_path), step=bh.make_step(bh.manual(NET, LOSS), optax.adam(1e-3)))


def test_an_optimizer_with_a_key_goes_on(tmp_path, single_steps):
    def noisy():
        return optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(1)), optax.sgd(0.1))

    def end(checkpoints=None):
        start = START._replace(opt_state=noisy().init(START.params))
        step, settings = bh.make_step(bh.manual(NET, LOSS), noisy()), {"epochs": 2, "batch_size": 7}
        return bh.fit(start, step, (X, Y), net=NET, loss=LOSS, checkpoints=checkpoints, **settings)[0]

    with pytest.raises(SystemExit):
        end(Stopped(tmp_path, 5))
    for a, b in zip(
        *(jax.tree.leaves(state.params) for state in (end(), end(Stopped(tmp_path)))), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_programs_of_steps_that_are_gone_are_gone():
    def taken():
        step = bh.make_step(bh.manual(NET, LOSS), ADAM)
        loop.Loop(START, step, (X, Y), net=NET, loss=LOSS, batch_size=7).epoch()
        return weakref.ref(step)

    steps = [taken() for _ in range(7)]
    gc.collect()
    assert sum(step() is not None for step in steps) <= 4


def test_the_program_is_read_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(loop, "fingerprint", lambda text: read.append(text) or "program")
    fitted(Checkpoints(tmp_path))
    assert len(read) == 1


def test_training_goes_on_for_more_epochs(tmp_path, uninterrupted):
    fitted(Checkpoints(tmp_path), epochs=2)
    state, history = fitted(Checkpoints(tmp_path))
    assert bits(state) == bits(uninterrupted[0])
    assert history == uninterrupted[1]


def planted(key):
    """A layer whose forward gives NaN where it is handed this key, as the right one of 0/0 would."""

    def forward(params, x, k):
        bad = (jax.random.key_data(k) == jax.random.key_data(key)).all()
        return x + jax.numpy.where(bad, np.nan, 0.0), ()

    return bh.Layer(
        lambda k, x: (), lambda params, x: x, forward, lambda params, residuals, dy: ((), dy), "planted"
    )


@pytest.mark.parametrize("chunk", [0.0, 1.0])
def test_nan_planted_at_step_137_is_found_there(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", chunk)
    key = jax.random.fold_in(START.key, 137)
    net = bh.serial(bh.linear(8), bh.relu, planted(jax.random.split(key, 4)[2]), bh.linear(3))
    step = bh.make_step(bh.manual(net, LOSS), ADAM)
    with pytest.raises(NonFiniteError, match=r"step 137 .*layer 3, planted") as error:
        fitted(Checkpoints(tmp_path), step=step, net=net, epochs=30)
    assert (error.value.step, error.value.epoch, error.value.batch) == (137, 20, 5)
    assert 0 <= Checkpoints(tmp_path).restore().step <= 137


def test_what_an_optimizer_starts_from_may_be_infinite():
    optimizer = optax.chain(ADAM, optax.contrib.reduce_on_plateau())
    start = bh.init_state(jax.random.key(0), NET, ADAM, X)
    start = start._replace(opt_state=optimizer.init(start.params))

    def step(state, x, y):
        after, value = STEP(state._replace(opt_state=state.opt_state[0]), x, y)
        return after._replace(opt_state=(after.opt_state, state.opt_state[1])), value

    state, _ = bh.fit(start, step, (X, Y), net=NET, loss=LOSS, epochs=1, batch_size=7)
    assert np.isinf(state.opt_state[1].best_value)


def test_an_optimizer_that_overflows_is_not_passed_over():
    def step(
        state, x, y
    ):  # finite parameters, and an infinite second moment: Adam would stand still for ever
        after, value = STEP(state, x, y)
        adam, *rest = after.opt_state
        moments = jax.tree.map(lambda a: a + np.inf, adam.nu)
        return after._replace(opt_state=(adam._replace(nu=moments), *rest)), value

    with pytest.raises(NonFiniteError, match=r"step 0 .*optimizer"):
        fitted(step=step)


def test_warnings_name_the_caller(tmp_path):
    fitted(Checkpoints(tmp_path))
    (tmp_path / "99.orbax-checkpoint-tmp-1").mkdir()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitted(Checkpoints(tmp_path))
    assert "half-written" in str(said[0].message)
