"""`fit`: one net or many, its history, early stopping, progress, and what resumes it."""

import dataclasses
import io
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from tests.training.small import (
    BREAKING,
    EARLY,
    EPOCHS,
    NET,
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


@pytest.mark.slow
def test_it_learns_what_no_line_can():
    x = np.random.default_rng(1).standard_normal((100, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int32)
    net = bh.serial(bh.linear(8), bh.tanh, bh.linear(2))
    _, history = bh.fit(
        bh.Training(net, bh.softmax_cross_entropy, optax.adam(3e-2)), (x[:80], y[:80]), key=key(),
        epochs=60, batch_size=16, validation=(x[80:], y[80:]), metrics=[bh.accuracy],
        score_train=True,
    )  # fmt: skip
    assert history["train_accuracy"][-1] >= 0.95
    assert history["val_accuracy"][-1] >= 0.8
    assert history["loss"][-1] < history["loss"][0] / 2


@pytest.mark.parametrize("many", [False, True])
def test_the_history_scores_the_params_after_each_epoch(many):
    """And "loss" is what the steps gave; many nets share the data and have an axis in front."""
    seen = []
    _, history = fitted(
        **RECORDED, state=STARTS if many else START,
        on_epoch=lambda state, record: seen.append((state, record)),
    )  # fmt: skip
    names = {"loss", "norms"} | {p + n for p in ("train_", "val_") for n in ("loss", "accuracy")}
    assert set(history) == names
    assert [record["epoch"] for _, record in seen] == [1, 2, 3, 4]
    for i, (state, record) in enumerate(seen):
        assert record.keys() == names | {"epoch"}
        params_of_all = jax.tree.map(np.asarray, state.params)
        for seed in range(3) if many else [()]:
            params = jax.tree.map(lambda a, seed=seed: a[seed], params_of_all)
            for prefix, split in {"train_": TRAIN, "val_": VALIDATION}.items():
                scores = bh.evaluate(TRAINING, params, *split, metrics=[bh.accuracy])
                for name, score in scores.items():
                    row = history[prefix + name][seed]
                    np.testing.assert_allclose(row[i], score, rtol=1e-6)
                    assert record[prefix + name][seed] == row[i]
            wanted = [np.linalg.norm(w) for w in jax.tree.leaves(params)]
            np.testing.assert_allclose(history["norms"][seed][i], wanted)
            assert bits(record["norms"][seed]) == bits(history["norms"][seed][i])
    assert history["norms"].shape == (3, EPOCHS, 4)[not many :]
    assert all(type(array) is np.ndarray for array in history.values())


@pytest.mark.slow
def test_what_is_observed_may_be_any_numbers():
    def observe(params):
        return {
            "one": 1.0,
            "count": jnp.arange(2),
            "none": jnp.zeros((0, 3)),
            "yes": jnp.array(True),
        }

    _, history = fitted(observe=observe, epochs=2)
    assert {name: array.shape for name, array in history.items()} == {
        "loss": (2,), "one": (2,), "count": (2, 2), "none": (2, 0, 3), "yes": (2,),
    }  # fmt: skip
    assert (history["one"] == 1).all()
    assert history["count"].tolist() == [[0, 1], [0, 1]]


def test_without_validation_or_metrics():
    _, history = fitted()
    assert list(history) == ["loss"]


def test_a_key_repeats_and_is_init_state():
    a, b, c = fitted(key=key()), fitted(key=key()), fitted(state=START)
    assert bits(a) == bits(b) == bits(c)
    assert bits(fitted(key=jax.random.key(1))[0].params) != bits(a[0].params)


def test_the_state_it_was_given_stays_as_it_was():
    before = bits(START)
    fitted()
    assert bits(START) == before


def test_a_state_continues_where_it_is():
    half, first = fitted(epochs=2)
    end, second = fitted(state=half, epochs=2)
    whole, history = fitted()
    assert bits(end) == bits(whole)
    np.testing.assert_array_equal(np.concatenate([first["loss"], second["loss"]]), history["loss"])


@pytest.mark.parametrize("data_per_key", [False, True])
def test_each_of_many_nets_trains_as_it_would_alone(data_per_key):
    """From its own first weights, in its own order of the examples, on its own data."""
    splits = {"train": TRAIN, "validation": VALIDATION}
    if data_per_key:
        rng = np.random.default_rng(2)
        splits = {
            name: (rng.normal(size=(3, *x.shape)), rng.integers(3, size=(3, len(y))))
            for name, (x, y) in splits.items()
        }
    states, history = fitted(key=keys(), **RECORDED | splits, data_per_key=data_per_key)
    assert history["val_loss"].shape == history["loss"].shape == (3, EPOCHS)
    params = jax.tree.map(np.asarray, states.params)
    for i in range(3):
        own = {n: (x[i], y[i]) if data_per_key else (x, y) for n, (x, y) in splits.items()}
        state, told = fitted(key=keys()[i], **RECORDED | own)
        assert_close(jax.tree.map(lambda a, i=i: a[i], params), state.params)
        assert_close({name: array[i] for name, array in history.items()}, told, rtol=1e-6)


@pytest.mark.slow
def test_an_array_of_one_key():
    states, history = fitted(key=keys(1))
    state, told = fitted(key=keys(1)[0])
    assert history["loss"].shape == (1, EPOCHS)
    assert_close(states.params, jax.tree.map(lambda a: a[None], state.params))
    assert_close(history["loss"][0], told["loss"])


def test_early_stopping_returns_the_best():
    seen = []
    state, history = fitted(
        **EARLY, patience=3, on_epoch=lambda state, record: seen.append(bits(state))
    )
    best = int(np.argmin(history["val_loss"]))
    assert best > 0
    assert len(history["val_loss"]) == len(history["loss"]) == best + 1 + 3 < 50
    assert bits(state) == seen[best]


def test_patience_that_never_ends_returns_the_best():
    state, history = fitted(**EARLY | {"epochs": 8}, patience=50)
    best = int(np.argmin(history["val_loss"]))
    assert best < 7
    scores = bh.evaluate(BREAKING, state.params, *EARLY["validation"])
    assert scores["loss"] == pytest.approx(history["val_loss"][best], rel=1e-12)


def test_quiet_without_a_terminal(capsys):
    fitted()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("many", [False, True])
def test_progress_may_be_shared(many):
    progress = Calls(EPOCHS, parts=2)
    fitted(
        state=STARTS if many else START, **RECORDED, progress=progress, on_epoch=lambda *args: None
    )
    names = ["loss", "norms", "train_accuracy", "train_loss", "val_accuracy", "val_loss"]
    assert [shown for shown in progress.told if shown[0] == int(shown[0])] == [
        (epoch, names) for epoch in range(1, EPOCHS + 1)
    ]


def test_progress_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    fitted()
    written = terminal.getvalue()
    assert written.index("compiling") < written.index("epoch 0.1/4")
    assert "epoch 4/4  0 s left  loss 1." in written
    assert written.endswith("\r\x1b[K")  # the line is taken away again
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with pytest.raises(ValueError, match="target"):
        fitted(train=(X, Y + 1))
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_training_that_is_equal_compiles_nothing():
    traced = []

    def observe(params):
        traced.append(params)
        return {}

    fitted(observe=observe)
    before = len(traced)
    fitted(training=dataclasses.replace(TRAINING), observe=observe, state=START)
    again = len(traced) - before
    # Checks trace it each time, and the compiled program only the first.
    assert again < before
    fitted(training=variant(net=NET), observe=observe)
    assert len(traced) - before == 2 * again


@pytest.mark.slow
def test_pictures_in_bytes_train_as_their_floats_do():
    x = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
    training = variant(net=bh.serial(bh.scale_pixels, bh.linear(3)))
    many = {"key": keys(2), "validation": (x[:9], Y[:9])}
    _, history = fitted(training=training, train=(x, Y), **many)
    floats = x.astype(np.float32) / np.float32(255)
    many = {"key": keys(2), "validation": (floats[:9], Y[:9])}
    _, wanted = fitted(training=training, train=(floats, Y), **many)
    assert_close(history, wanted, rtol=1e-5)
