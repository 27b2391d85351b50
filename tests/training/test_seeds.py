from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.models.perceptron import perceptron
from backhand.storage.checkpoints import Checkpoints
from backhand.training.nonfinite import NonFiniteError
from backhand.training.progress import Progress
from backhand.training.seeds import fit_seeds, init_seeds
from backhand.training.step import shuffled

NET, LOSS, ADAM = perceptron((6,), 3), bh.softmax_cross_entropy, optax.adam(0.01)
STEP = bh.make_step(bh.manual(NET, LOSS), ADAM)
SEEDS = (0, 3, 7)
rng = np.random.default_rng(0)


def points(count):
    x = rng.normal(size=(len(SEEDS), count, 2))
    return x, (x[:, :, 0] > 0).astype(np.int32) + (x[:, :, 1] > 0)


SPLITS = {"train": points(23), "validation": points(9)}


def train(splits=SPLITS, states=None, **changes):
    states = init_seeds(SEEDS, NET, ADAM, SPLITS["train"][0][0]) if states is None else states
    asked = {"net": NET, "loss": LOSS, "epochs": 7, "batch_size": 5, "metrics": [bh.accuracy]} | changes
    return fit_seeds(states, STEP, splits, **asked)


def test_each_seed_trains_as_it_would_alone():
    """Its first weights, its order of examples and its data are its own: `fit` alone comes to the same."""
    states, history = train(chunks=2)
    for i, seed in enumerate(SEEDS):
        x, y = (a[i] for a in SPLITS["train"])
        state = bh.init_state(jax.random.key(seed), NET, ADAM, x)
        validation = tuple(a[i] for a in SPLITS["validation"])
        alone, told = bh.fit(
            state, STEP, (x, y), net=NET, loss=LOSS, epochs=7, batch_size=5, validation=validation,
            metrics=[bh.accuracy],
        )  # fmt: skip
        for a, b in zip(jax.tree.leaves(states.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)
        for prefix, split in {"": "train", "val_": "validation"}.items():
            for name in ("loss", "accuracy"):
                np.testing.assert_allclose(history[split][name][:, i], told[prefix + name], rtol=1e-6)


@pytest.mark.parametrize("chunks", [1, 3, 50])
def test_pieces_make_no_difference(chunks):
    whole, history = train(chunks=1)
    seen = []
    lengths = []

    def on_chunk(done, states, piece):
        seen.append(done)
        lengths.append(len(piece["train"]["loss"]) if piece else 0)

    states, pieced = train(chunks=chunks, on_chunk=on_chunk)
    assert np.cumsum(lengths).tolist() == seen
    assert seen[0] == 0
    assert seen[-1] == 7
    assert len(seen) - 1 == min(chunks, 7)
    close = partial(
        np.testing.assert_allclose, rtol=1e-12, atol=1e-14
    )  # pieces of one epoch compile otherwise
    jax.tree.map(close, whole.params, states.params)
    jax.tree.map(close, history, pieced)


def test_one_progress_for_several_trainings():
    class Told(Progress):
        def show(self, epoch, scores):
            told.append((epoch, sorted(scores)))

    told = []
    train(chunks=2, progress=Told(7, parts=2))
    names = ["train accuracy", "train loss", "validation accuracy", "validation loss"]
    assert told == [(4, names), (7, names)]


def test_the_states_can_be_used_again():
    start = init_seeds(SEEDS, NET, ADAM, SPLITS["train"][0][0])
    first, _ = train(states=start)
    again, _ = train(states=start)
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)


def test_what_makes_no_sense():
    x, y = SPLITS["train"]
    for splits, says in {
        "no train": ({"validation": (x, y)}, "should have one called train, got validation"),
        "two seeds": ({"train": (x[:2], y[:2])}, "after one of 3 seeds, got x \\(2, 23, 2\\)"),
        "a label too many": ({"train": (x, y + 1)}, "labels from 0 to 2"),
        "nan": ({"train": (np.full_like(x, np.nan), y)}, "train x should be finite"),
    }.values():
        with pytest.raises(ValueError, match=says):
            train(splits)
    with pytest.raises(ValueError, match="batch_size should be at most the number of examples, 23, got 24"):
        train(batch_size=24)
    for count in ("epochs", "chunks"):
        with pytest.raises(ValueError, match=f"{count} should be at least 1, got 0"):
            train(**{count: 0})
    with pytest.raises(ValueError, match="at least one seed"):
        init_seeds((), NET, ADAM, jnp.zeros((1, 2)))


def diverging(rate):
    """What comes of fitting a line at too large a rate."""
    net, loss, sgd = bh.linear(1), bh.squared_error, optax.sgd(rate)
    x = np.random.default_rng(0).normal(size=(3, 20, 2)).astype(np.float32)
    splits = {"train": (x, x[:, :, :1])}
    states, step = init_seeds(SEEDS, net, sgd, x[0]), bh.make_step(bh.manual(net, loss), sgd)
    told = []
    with pytest.raises(NonFiniteError) as caught:
        fit_seeds(
            states, step, splits, net=net, loss=loss, epochs=60, batch_size=5, chunks=12,
            on_chunk=lambda done, states, _: told.append((done, states)),
        )  # fmt: skip
    return caught.value, told, states, step, splits["train"]


def test_training_stops_in_the_chunk_where_it_diverges():
    """And says the step at which that seed's loss stops being finite when it trains alone."""
    error, told, states, step, train_split = diverging(1.0)
    done, kept = told[-1]
    assert 0 < done < error.epoch <= done + 5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.params))
    state, x, y = jax.tree.map(lambda a: jnp.asarray(a)[error.seed], (states, *train_split))
    value = 0.0
    while np.isfinite(value):
        rows = shuffled(state, 20, 5)[state.step % 4]
        state, value = step(state, x[rows], y[rows])
    assert error.step == state.step - 1
    assert (error.epoch, error.batch) == (error.step // 4 + 1, error.step % 4 + 1)
    assert str(error).startswith(
        f"training of states[{error.seed}] stopped at step {error.step} (epoch {error.epoch}"
    )
    assert "the loss gave inf first at L (1 of 1 entry, float32), from |prediction| ≤ " in str(error)
    assert "Try: a smaller learning rate" in str(error)


def test_a_layer_that_fails_on_one_seeds_data_is_named():
    """On one row of the second seed's points."""
    plant = bh.deterministic(
        lambda key, x: (), lambda p, x: (jnp.where(x > 9, jnp.nan, x), ()), lambda p, r, dy: ((), dy), "plant"
    )
    net, (x, y) = bh.serial(plant, NET), SPLITS["train"]
    x = x.copy()
    x[1, 13, 1] = 10
    states = init_seeds(SEEDS, net, ADAM, x[0])
    with pytest.raises(NonFiniteError) as caught:
        fit_seeds(
            states, bh.make_step(bh.manual(net, LOSS), ADAM), {"train": (x, y)}, net=net, loss=LOSS, epochs=3,
            batch_size=5,
        )  # fmt: skip
    state = jax.tree.map(lambda a: a[1], states)
    batches = np.argwhere(shuffled(state, 23, 5) == 13)
    assert len(batches) == 1  # of the 20 of 23 rows that this epoch takes
    error = caught.value
    assert (error.seed, error.epoch, error.step, error.batch) == (1, 1, batches[0, 0], batches[0, 0] + 1)
    assert (error.where.layer, error.where.path, error.where.entry) == ("plant", (0,), (batches[0, 1], 1))


def test_a_loss_that_only_the_scores_show():
    """The steps of the epoch are finite, and the loss after the last of them no more."""
    error, *_ = diverging(2.0)
    assert (error.step, error.split, error.where.direction) == (None, "train", "loss")
    assert f"stopped after epoch {error.epoch}, scored on all of train: the loss gave inf" in str(error)


def test_a_loss_that_no_step_explains():
    """In use the net gives NaN, and in training it does not."""
    net = NET._replace(apply=lambda params, x: NET.apply(params, x) * jnp.nan, combine=None)
    with pytest.raises(NonFiniteError, match=r"of states\[0\] stopped in epoch 1: .* taken again alone, are"):
        train(net=net)


def test_an_optimizer_that_overflows_is_not_passed_over():
    """The second moment is infinite, the parameters finite: Adam would stand still for ever."""
    big = bh.deterministic(lambda key, x: (), lambda p, x: (x, ()), lambda p, r, dy: ((), dy * 1e200), "big")
    net = bh.serial(bh.linear(4), big, bh.linear(3))
    states = init_seeds(SEEDS, net, ADAM, SPLITS["train"][0][0])
    with pytest.raises(NonFiniteError, match=r"of states\[0\] stopped at step 0 .*optimizer"):
        fit_seeds(
            states, bh.make_step(bh.manual(net, LOSS), ADAM), SPLITS, net=net, loss=LOSS, epochs=3, batch_size=5
        )  # fmt: skip


def test_checkpoints_of_another_training_are_refused(tmp_path):
    train(checkpoints=Checkpoints(tmp_path))
    for changes, says in [
        ({"metrics": []}, r"scores was .*'accuracy'.*, and is"),
        ({"epochs": 5}, "are of 7 epochs, more than epochs, 5"),
    ]:
        with pytest.raises(ValueError, match=says):
            train(checkpoints=Checkpoints(tmp_path), **changes)
    with pytest.raises(TypeError, match=r"such as Checkpoints\('folder'\), got 'folder'"):
        train(checkpoints="folder")
