"""The bench's yardstick: a perceptron of three layers in plain JAX, as one would write it once.

It shares nothing with backhand. `bench.py` calls its functions to time epochs, and starts it as a
program to time a process up to the end of its first epoch:

    python experiments/raw.py 784 256 128 10 EXAMPLES BATCH_SIZE
"""

import os
import sys
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def start(widths: Any, optimizer: Any, seed: int = 0) -> Any:
    """First weights, a pair (w, b) a layer, the optimizer's state, and a key for shuffling."""
    rng = np.random.default_rng(seed)
    weights = tuple(
        (rng.normal(0, (2 / i) ** 0.5, (i, j)).astype(np.float32), np.zeros(j, np.float32))
        for i, j in pairwise(widths)
    )
    return weights, optimizer.init(weights), jax.random.key(seed)


def forward(weights: Any, x: Any) -> Any:
    """The hidden activations, and the logits."""
    (w1, b1), (w2, b2), (w3, b3) = weights
    h1 = jnp.maximum(x @ w1 + b1, 0)
    h2 = jnp.maximum(h1 @ w2 + b2, 0)
    return h1, h2, h2 @ w3 + b3


def gradient(weights: Any, x: Any, y: Any) -> Any:
    """The mean cross-entropy and its gradient, by hand."""
    h1, h2, z = forward(weights, x)
    z = z - z.max(1, keepdims=True)
    total = jnp.exp(z).sum(1, keepdims=True)
    value = (jnp.log(total)[:, 0] - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]).mean()
    d3 = (jnp.exp(z) / total - jax.nn.one_hot(y, z.shape[1], dtype=z.dtype)) / len(x)
    d2 = jnp.where(h2 > 0, d3 @ weights[2][0].T, 0)
    d1 = jnp.where(h1 > 0, d2 @ weights[1][0].T, 0)
    return value, ((x.T @ d1, d1.sum(0)), (h1.T @ d2, d2.sum(0)), (h2.T @ d3, d3.sum(0)))


def step(optimizer: Any, carry: Any, x: Any, y: Any) -> Any:
    """One step: (weights, the optimizer's state) -> (the same after it, the loss)."""
    weights, opt_state = carry
    value, gradients = gradient(weights, x, y)
    updates, opt_state = optimizer.update(gradients, opt_state, weights)
    return (optax.apply_updates(weights, updates), opt_state), value


def scan(optimizer: Any, batch_size: int) -> Any:
    """A shuffled epoch in one jitted scan: the fastest we know to write."""

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, x: Any, y: Any) -> Any:
        *carry, key = state
        key, order_key = jax.random.split(key)
        order = jax.random.permutation(order_key, len(x))
        rows = order[: len(x) // batch_size * batch_size].reshape(-1, batch_size)
        carry, values = jax.lax.scan(
            lambda c, r: step(optimizer, c, x[r], y[r]), tuple(carry), rows
        )
        return (*carry, key), values

    return epoch


def loop(optimizer: Any, batch_size: int) -> Any:
    """An epoch as most tutorials write it: a Python loop that calls a jitted step."""
    jitted = jax.jit(partial(step, optimizer))

    def epoch(state: Any, x: Any, y: Any) -> Any:
        *carry, key = state
        key, order_key = jax.random.split(key)
        order, values = np.asarray(jax.random.permutation(order_key, len(x))), []
        for start in range(0, len(x) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            carry, value = jitted(tuple(carry), x[rows], y[rows])
            values.append(value)
        return (*carry, key), values

    return epoch


def full_batch(optimizer: Any, epochs: int) -> Any:
    """A whole training, full batch, in one jitted scan, with scores of both splits after each."""

    def scores(weights: Any, x: Any, y: Any) -> Any:
        z = forward(weights, x)[-1]
        loss = optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
        return loss, (z.argmax(1) == y).mean()

    @jax.jit
    def train(weights: Any, x: Any, y: Any, xv: Any, yv: Any) -> Any:
        def epoch(carry: Any, _: None) -> Any:
            carry, value = step(optimizer, carry, x, y)
            return carry, (value, scores(carry[0], x, y), scores(carry[0], xv, yv))

        return jax.lax.scan(epoch, (weights, optimizer.init(weights)), length=epochs)

    return train


if __name__ == "__main__":
    *widths, examples, batch_size = map(int, sys.argv[1:])
    rng, adam = np.random.default_rng(0), optax.adam(1e-3)
    x = rng.random((examples, widths[0]), np.float32)
    y = rng.integers(0, widths[-1], examples, np.int32)
    jax.block_until_ready(scan(adam, batch_size)(start(widths, adam), x, y))
    os._exit(0)  # the time it takes to shut down is not part of a first epoch
