"""Every public layer, loss and combinator, with inputs to check it on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand import layers, losses
from backhand.combinators import parallel, residual, serial
from backhand.layer import Layer, deterministic
from backhand.losses import Loss

ACTIVATIONS = (
    layers.tanh, layers.sigmoid, layers.relu, layers.leaky_relu(0.1), layers.elu(0.5),
    layers.softplus, layers.gelu, layers.silu, layers.softmax,
)  # fmt: skip


class Entry(NamedTuple):
    """What `check_backward` is given. `name` is the public name that the subject stands for."""

    name: str
    subject: Layer | Loss
    inputs: tuple[np.ndarray, ...]


def catalogue(batch: int = 6, width: int = 5, seed: int = 0) -> dict[str, Entry]:
    """An entry for each public name, by its own: x (batch, width) float32, labels below width."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, width)).astype(np.float32)
    target = rng.standard_normal((batch, width)).astype(np.float32)
    labels = rng.integers(0, width, batch).astype(np.int32)
    binary = rng.integers(0, 2, batch).astype(np.int32)
    linear, tanh = layers.linear, layers.tanh
    gain = deterministic(  # y = s x, with one gain s for each feature
        init=lambda key, x: jnp.ones(x.shape[1:], x.dtype),
        forward=lambda s, x: (jnp.broadcast_to(s, x.shape) * x, x),
        backward=lambda s, x, dy: ((x * dy).sum(0), jnp.broadcast_to(s, x.shape) * dy),
        name="deterministic",
    )
    entries = {}
    for layer in (
        *ACTIVATIONS,
        layers.distort((1, width), shift=1, rotate=20, scale=0.2, alpha=2),
        layers.dropout(0.3),
        linear(width),  # a transposed gradient has the right shape
        linear(3),
        serial(linear(4), tanh, linear(3)),
        parallel(linear(3), serial(tanh, linear(3))),
        residual(serial(tanh, layers.elu())),
        gain,
        layers.scale_pixels,
    ):
        entry = Entry(layer.name.split("(")[0], layer, (x,))
        entries[f"{layer.name} {batch}×{width}"] = entry
    for entry in (
        Entry("squared_error", losses.squared_error, (x, target)),
        Entry("absolute_error", losses.absolute_error, (x, target)),
        Entry("huber", losses.huber(0.5), (x, target)),
        Entry("logistic", losses.logistic, (x[:, :1], binary)),
        Entry("cross_entropy", losses.cross_entropy, (np.asarray(jax.nn.softmax(x)), labels)),
        Entry("softmax_cross_entropy", losses.softmax_cross_entropy, (x, labels)),
    ):
        entries[f"{entry.name} {'×'.join(map(str, entry.inputs[0].shape))}"] = entry
    return entries


def nets(width: int = 16) -> dict[str, Layer]:
    """Whole nets: perceptrons of 1, 2 and 3 layers, one of every activation, one with branches."""
    linear, tanh, relu = layers.linear, layers.tanh, layers.relu
    every = [part for activation in ACTIVATIONS for part in (linear(width), activation)]
    around = residual(serial(linear(width), tanh))
    branches = parallel(linear(width), serial(layers.silu, linear(width)))
    return {
        "1 layer": serial(linear(10)),
        "2 layers, the lesson's": serial(linear(width), tanh, linear(10), layers.softmax),
        "3 layers": serial(linear(width), relu, linear(width), relu, linear(10)),
        "every activation": serial(*every, linear(10)),
        "branches": serial(linear(width), around, branches, linear(10)),
    }
