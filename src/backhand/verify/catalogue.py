"""Every public layer, loss and combinator, with inputs to check it on."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand import layers, losses
from backhand.combinators import parallel, residual, serial
from backhand.layer import Array, Key, Layer, Shaped, deterministic
from backhand.losses import Loss

LAYERS = (
    layers.tanh,
    layers.sigmoid,
    layers.relu,
    layers.leaky_relu(0.1),
    layers.elu(0.5),
    layers.softplus,
    layers.gelu,
    layers.silu,
    layers.softmax,
)
COMBINATORS: dict[str, Callable[[], Layer]] = {
    "serial": lambda: serial(layers.linear(4), layers.tanh, layers.linear(3)),
    "parallel": lambda: parallel(layers.linear(3), serial(layers.tanh, layers.linear(3))),
    "residual": lambda: residual(serial(layers.tanh, layers.elu())),
}
REGRESSION = {
    "squared_error": losses.squared_error,
    "absolute_error": losses.absolute_error,
    "huber": losses.huber(0.5),
}


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
    probabilities = np.asarray(jax.nn.softmax(x))
    distort = layers.distort((1, width), shift=1, rotate=20, scale=0.2, alpha=2)
    entries = [
        *(Entry(layer.name.split("(")[0], layer, (x,)) for layer in LAYERS),
        Entry("distort", distort, (x,)),
        Entry("dropout", layers.dropout(0.3), (x,)),
        Entry("linear", layers.linear(width), (x,)),  # a transposed gradient has the right shape
        Entry("linear", layers.linear(3), (x,)),
        *(Entry(name, make(), (x,)) for name, make in COMBINATORS.items()),
        Entry("deterministic", _gain(), (x,)),
        *(Entry(name, loss, (x, target)) for name, loss in REGRESSION.items()),
        Entry("logistic", losses.logistic, (x[:, :1], binary)),
        Entry("cross_entropy", losses.cross_entropy, (probabilities, labels)),
        Entry("softmax_cross_entropy", losses.softmax_cross_entropy, (x, labels)),
        Entry("scale_pixels", layers.scale_pixels, (x,)),
    ]
    return {_title(entry): entry for entry in entries}


def nets(width: int = 16) -> dict[str, Layer]:
    """Whole nets: perceptrons of 1, 2 and 3 layers, one of every activation, one with branches."""
    linear, tanh, relu = layers.linear, layers.tanh, layers.relu
    every = [part for activation in LAYERS for part in (linear(width), activation)]
    around = residual(serial(linear(width), tanh))
    branches = parallel(linear(width), serial(layers.silu, linear(width)))
    return {
        "1 layer": serial(linear(10)),
        "2 layers, the lesson's": serial(linear(width), tanh, linear(10), layers.softmax),
        "3 layers": serial(linear(width), relu, linear(width), relu, linear(10)),
        "every activation": serial(*every, linear(10)),
        "branches": serial(linear(width), around, branches, linear(10)),
    }


def _gain() -> Layer:
    """A layer made the short way: y = s x, with one gain s for each feature."""

    def init(_: Key, x: Shaped) -> Array:
        return jnp.ones(x.shape[1:], x.dtype)

    def forward(s: Array, x: Array) -> tuple[Array, Array]:
        return jnp.broadcast_to(s, x.shape) * x, x

    def backward(s: Array, x: Array, dy: Array) -> tuple[Array, Array]:
        return (x * dy).sum(0), jnp.broadcast_to(s, x.shape) * dy

    return deterministic(init, forward, backward, name="deterministic")


def _title(entry: Entry) -> str:
    name = entry.subject.name if isinstance(entry.subject, Layer) else entry.name
    return f"{name} {'×'.join(map(str, entry.inputs[0].shape))}"
