"""A NaN or an infinity is planted in one place and found there."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import backhand as bh
from backhand.layer import map_layers
from backhand.training.nonfinite import NonFiniteError, first_nonfinite

# Every kind of layer that learns or draws, at each depth.
NET = bh.serial(
    bh.linear(6),
    bh.relu,
    bh.residual(bh.serial(bh.linear(6), bh.tanh)),
    bh.parallel(bh.serial(bh.dropout(0.5), bh.linear(4)), bh.linear(4)),
    bh.softmax,
    bh.linear(3),
)
LOSS = bh.softmax_cross_entropy
rng = np.random.default_rng(0)
X, Y = jnp.asarray(rng.normal(size=(8, 4)), jnp.float32), jnp.arange(8) % 3
PARAMS = NET.init(jax.random.key(0), X)


def paths_of(net, keep=lambda layer: True):
    paths = {}

    def see(path, layer):
        if keep(layer):
            paths[path] = layer.name
        return layer

    map_layers(see, net)
    return paths


def first(net=NET, loss=LOSS, params=PARAMS, x=X, y=Y):
    return first_nonfinite(net, loss, params, x, y, jax.random.key(1))


def spoil(tree, value=jnp.nan):
    """The last entry of a tree's last array made NaN."""
    *others, last = jax.tree.leaves(tree)
    spoilt = last.at[(-1,) * last.ndim].set(value)
    return jax.tree.unflatten(jax.tree.structure(tree), [*others, spoilt])


def planted(at, direction, which=0, value=jnp.nan, net=NET):
    """The net with NaN in what a layer gives, forward (y) or backward (0: dparams, 1: dx)."""

    def plant(path, layer):
        def forward(params, x, key):
            y, residuals = layer.forward(params, x, key)
            return spoil(y, value), residuals

        def backward(params, residuals, dy):
            gradients = list(layer.backward(params, residuals, dy))
            gradients[which] = spoil(gradients[which], value)
            return tuple(gradients)

        if path != at:
            return layer
        combine = layer.combine and (lambda *parts: plant(path, layer.combine(*parts)))
        return layer._replace(
            **{direction: {"forward": forward, "backward": backward}[direction]}, combine=combine
        )

    return map_layers(plant, net)


def test_nothing_is_found_if_all_is_finite():
    assert first() is None


@pytest.mark.parametrize(("path", "name"), paths_of(NET).items(), ids=str)
def test_a_nan_is_found_in_the_layer_that_made_it(path, name):
    """In each, forward and backward: a leaf, a sum, and what is inside a residual or a parallel."""
    where = first(planted(path, "forward"))
    assert (where.direction, where.layer, where.path, where.array) == ("forward", name, path, "y")
    where = first(planted(path, "backward", 1))
    assert (where.direction, where.layer, where.path, where.array) == ("backward", name, path, "dx")


LINEARS = [
    (0,),
    (2, 0, 0),
    (3, 0, 1),
    (3, 1),
    (5,),
]  # in the order of their params' leaves, w and b of each


@pytest.mark.parametrize("leaf", [0, 3, 5, 8])
def test_a_nan_is_found_in_params_and_in_their_gradient(leaf):
    path, array = LINEARS[leaf // 2], "wb"[leaf % 2]
    leaves, structure = jax.tree.flatten(PARAMS)
    leaves[leaf] = spoil(leaves[leaf])
    # One that makes NaN goes before, and is not to blame: the params were so when the step began.
    where = first(planted((0,), "forward"), params=jax.tree.unflatten(structure, leaves))
    assert (where.direction, where.path, where.array) == ("params", path, f"params.{array}")
    if array == "b":
        where = first(planted(path, "backward", 0, jnp.inf))
        assert (where.direction, where.path, where.array) == ("backward", path, "dparams.b")
        assert where.value == np.inf


def test_a_nan_is_found_in_the_data_and_in_the_loss():
    value, slope = (bh.Loss(f, b) for f, b in [
        (lambda p, t: (LOSS.forward(p, t)[0] * jnp.nan, LOSS.forward(p, t)[1]), LOSS.backward),
        (LOSS.forward, lambda residuals: spoil(LOSS.backward(residuals))),
    ])  # fmt: skip
    assert str(first(x=spoil(X))) == "the batch has nan first at x[7, 3] (1 of 32 entries, float32)"
    targets = jnp.zeros((8, 3), jnp.float32)
    assert "the batch has nan first at y[7, 2]" in str(
        first(loss=bh.squared_error, y=spoil(targets))
    )
    assert re.fullmatch(
        r"the loss gave nan first at L \(1 of 1 entry, float32\), from \|prediction\| ≤ \S+",
        str(first(loss=value)),
    )
    where = first(loss=slope)
    assert (where.direction, where.layer, where.array, where.entry) == (
        "backward",
        "",
        "dprediction",
        (7, 2),
    )
    assert "the backward of the loss gave nan first at dprediction[7, 2]" in str(where)


def test_what_a_combinator_sums_is_its_own():
    large = bh.deterministic(
        lambda key, x: (), lambda p, x: (x * 1e38 * 2, ()), lambda p, r, dy: ((), dy), "large"
    )
    net = bh.serial(bh.parallel(large, large), bh.linear(3))
    where = first(net, params=((((), ())), PARAMS[0]), x=jnp.ones((8, 4), jnp.float32))
    assert (where.layer, where.path, where.value, where.bad) == ("parallel", (0,), np.inf, 32)


def test_a_combinator_that_maps_its_part_counts_as_one_layer():
    """What its part computes is traced, and can't be looked at."""

    def each(part):
        def forward(p, x, key):
            y = jax.vmap(lambda row: part.forward(p, row[None], key)[0][0])(x)
            return spoil(y), y

        return bh.Layer(part.init, part.apply, forward, part.backward, "each", (part,), each)

    where = first(each(bh.tanh), params=(), x=X[:, :3])
    assert (where.layer, where.array) == ("each", "y")


@pytest.mark.parametrize(("dtype", "size", "advice"), [
    ("float32", 1e30, "a smaller learning rate, or gradients clipped"),
    ("float16", 3e4, "float32: float16 ends at 65,504"),
    ("float32", 100, "an exp of more than 89"),
    ("float32", 1, "look in its formula for a division by 0, or a log"),
])  # fmt: skip
def test_the_advice_fits_what_was_seen(dtype, size, advice):
    where = first(planted((), "forward", net=bh.tanh), x=jnp.full((8, 3), size, dtype), params=())
    assert str(where).startswith("the forward of the net, tanh (net), gave nan first at y[7, 2]")
    assert advice in where.advice


def test_what_a_forward_keeps_is_inspected_if_the_backward_fails():
    def forward(params, x):
        return jnp.tanh(x), jnp.inf * jnp.ones_like(x)

    net = bh.deterministic(lambda key, x: (), forward, lambda p, r, dy: ((), dy * r), "worn")
    where = first(net, params=(), x=X[:, :3])
    assert where.direction == "backward"
    assert where.advice == "look at its forward, which kept inf for its backward"


def test_the_message_says_when_and_where_and_what_to_try():
    where = first(planted((2, 0, 1), "forward"))
    error = NonFiniteError(step=1234, epoch=4, batch=2, seed=1, where=where)
    assert re.fullmatch(
        r"training of net 1 stopped at step 1,234 \(epoch 4, batch 2\): the forward of layer "
        r"3\.1\.2, tanh \(net\.parts\[2\]\.parts\[0\]\.parts\[1\]\), gave nan first at y\[7, 5\] "
        r"\(1 of 48 entries, float32\), from \|x\| ≤ [0-9.]+\. Try: look in its formula for a "
        r"division by 0, or a log or sqrt at or below 0\.",
        str(error),
    )  # fmt: skip
    assert (error.step, error.epoch, error.batch, error.seed) == (1234, 4, 2, 1)
    assert (error.split, error.where) == (None, where)
    assert isinstance(error, FloatingPointError)


def test_the_message_if_nothing_was_found():
    update = str(NonFiniteError(step=6, epoch=2, batch=1))
    assert update.startswith(
        "training stopped at step 6 (epoch 2, batch 1): by hand, its loss and gradient are finite"
    )
    assert "Try: a smaller learning rate" in update
    score = str(NonFiniteError(epoch=3, split="validation", seed=2))
    assert score.startswith(
        "training of net 2 stopped after epoch 3, scored on all of validation: the loss by forward "
        "is finite, and the loss by apply is not"
    )
