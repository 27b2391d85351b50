"""A training small enough to compile quickly, which the tests here share."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand.training import Progress

NET = bh.serial(bh.linear(6), bh.tanh, bh.dropout(0.2), bh.linear(3))
LOSS = bh.softmax_cross_entropy
TRAINING = bh.Training(NET, LOSS, optax.sgd(0.1, momentum=0.9))
X = np.random.default_rng(0).normal(size=(50, 4))
Y = np.arange(50) % 3
TRAIN, VALIDATION = (X, Y), (X[:9] + 0.1, Y[:9])
BATCH_SIZE, BATCHES, EPOCHS = 7, 7, 4  # an epoch leaves out one example

key = partial(jax.random.key, 0)  # JAX, as the tests set it up, lets no key be used twice


def keys(count=3):
    return jax.random.split(jax.random.key(5), count)


START, STARTS = bh.init_state(TRAINING, key(), X), bh.init_state(TRAINING, keys(), X)


def fitted(**options):
    """What `fit` returns for the small training, with some arguments changed."""
    start = {} if "key" in options else {"state": START}
    usual = {"training": TRAINING, "train": TRAIN, "epochs": EPOCHS, "batch_size": BATCH_SIZE}
    return bh.fit(**usual | start | options)


def variant(**parts):
    """The small training with other parts."""
    return dataclasses.replace(TRAINING, **parts)


def norms(params):
    """What some trainings here observe."""
    return {"norms": jnp.stack([jnp.linalg.norm(w) for w in jax.tree.leaves(params)])}


# Everything that can be recorded after an epoch.
RECORDED = {
    "validation": VALIDATION, "metrics": [bh.accuracy], "score_train": True, "observe": norms,
}  # fmt: skip


# A training that learns for 4 epochs and then breaks down, for early stopping.
BREAKING = bh.Training(
    bh.serial(bh.linear(6), bh.tanh, bh.linear(3)),
    LOSS,
    optax.adam(optax.piecewise_constant_schedule(0.2, {4 * BATCHES: 30.0})),
)
EARLY = {
    "training": BREAKING,
    "state": bh.init_state(BREAKING, key(), X),
    "train": (X, (X[:, 0] > 0).astype(int)),
    "validation": (X[:9] + 0.1, (X[:9, 0] > 0).astype(int)),
    "epochs": 50,
}


# A training that diverges: its steps' losses are finite until after the scores' are not.
DIVERGING = {
    "training": bh.Training(bh.linear(1), bh.squared_error, optax.sgd(2.0)),
    "train": (X.astype(np.float32), X.astype(np.float32)[:, :1]),
    "score_train": True,
    "batch_size": len(X),
    "epochs": 60,
}


def bits(tree):
    """A tree's numbers as bytes: equal for no two different ones, and for a NaN and itself."""
    return jax.tree.map(
        lambda a: np.asarray(
            jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a
        ).tobytes(),
        tree,
    )


def assert_close(got, wanted, rtol=1e-9):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-12), got, wanted)


class Calls(Progress):
    """Notes what it is asked to show: one entry a call of the compiled program."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.told = []

    def show(self, epochs, scores):
        if epochs:
            self.told.append((epochs, sorted(scores)))
