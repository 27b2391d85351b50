"""Random numbers from a key, and weights to start from.

The bits are those of `jax.random`, sooner compiled and sooner drawn. On a CPU `jax.random` lowers
Threefry to a loop over whole arrays, which XLA takes a third of a second to compile, each time it
is met. Written out, its rounds and whatever follows fuse into one pass over the array: compiled in
a fifth of the time, and run in a fifth.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Array, Key

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@partial(jax.jit, static_argnames="shape", inline=True)
def bits(key: Key, shape: tuple[int, ...]) -> Array:
    """32 random bits an entry, uint32 of this shape: those of `jax.random.bits`.

    Threefry-2x32 in 20 rounds, a cipher of the entry's number under the key (Salmon, Moraes, Dror
    and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011). A round adds one half of the 64
    bits to the other, rotates that half, and mixes the two by exclusive or; after every four rounds
    a part of the key is added.
    """
    if jax.random.key_impl(key) != "threefry2x32":
        return jax.random.bits(key, shape, jnp.uint32)
    first, second = jax.random.key_data(key)
    schedule = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    b: Array = jax.lax.iota(jnp.uint32, math.prod(shape)) + second
    a: Array = jnp.broadcast_to(first, b.shape)
    for four in range(5):
        for distance in ROTATIONS[four % 2]:
            a = a + b
            b = a ^ (b << jnp.uint32(distance) | b >> jnp.uint32(32 - distance))
        a = a + schedule[(four + 1) % 3]
        b = b + (schedule[(four + 2) % 3] + jnp.uint32(four + 1))
    return jnp.reshape(a ^ b, shape)


@partial(jax.jit, static_argnames="shape", inline=True)
def uniform(key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform numbers in (−1, 1), float32: odd multiples of 2⁻²⁴, so never 0 and never ±1."""
    odd = (bits(key, shape) >> jnp.uint32(8)).astype(jnp.int32) * 2 + (1 - 2**24)
    return jnp.multiply(odd.astype(jnp.float32), 2.0**-24)


@partial(jax.jit, static_argnames="shape", inline=True)
def normal(key: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, float32, of size up to 5.4: the normal's quantiles of `uniform`."""
    return jnp.multiply(jax.lax.erf_inv(uniform(key, shape)), math.sqrt(2))


# Weights w (inputs, features). Each start keeps the variance of what flows through the net about
# the same from layer to layer. Numbers are drawn in float32: a net starts alike in every precision.


def he(key: Key, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Normal weights of variance 2/inputs, for relu and its kin, which let half of it through.

    (He et al., "Delving deep into rectifiers", 2015.)
    """
    return jnp.asarray(math.sqrt(2 / shape[0]) * normal(key, shape), dtype)


def lecun(key: Key, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Normal weights of variance 1/inputs: y's entries vary as x's do.

    (LeCun et al., "Efficient backprop", 1998.)
    """
    return jnp.asarray(math.sqrt(1 / shape[0]) * normal(key, shape), dtype)


def glorot(key: Key, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Uniform weights within ±√(6/(inputs + features)), for tanh and its kin.

    Their variance is 2/(inputs + features): between 1/inputs, which would keep that of y at that of
    x, and 1/features, which would keep that of dx at that of dy. (Glorot and Bengio, "Understanding
    the difficulty of training deep feedforward neural networks", 2010.)
    """
    return jnp.asarray(math.sqrt(6 / sum(shape)) * uniform(key, shape), dtype)
