"""Dropout: in training, a different random part of the net at every step."""

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Array, Key, Layer, Params


def dropout(rate: float) -> Layer:
    """In training y = x m/(1 − rate), each m 0 with probability `rate`, else 1; in use y = x.

    dx = dy m/(1 − rate): what was dropped gets no gradient. Dividing by 1 − rate keeps the mean of
    y at x, so that `apply` is the identity and nothing need be scaled afterwards ("inverted"
    dropout). Keeps m, one byte an entry, though the key would do to draw it again: drawing costs
    more than reading.

    x of any shape, floating; params are (). m has an entry for each of x's, drawn from `forward`'s
    key alone by 16 random bits, the same in every precision. rate, the fraction dropped, is from 0
    to below 1; otherwise TypeError or ValueError is raised. It is exact to 2⁻¹⁶, so the mean of y
    strays if next to nothing is kept. (Srivastava et al., "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 2014.)
    """
    rate = checks.fraction("dropout", "rate", rate)
    kept = 1 - rate
    highest = np.uint16(max(round(kept * 2**16), 1) - 1)  # of 16 bits that keep an entry

    def forward(params: Params, x: Array, key: Key) -> tuple[Array, Array]:
        # Drawing is most of what dropout costs, and a random word of 32 bits does for two entries.
        words = jax.random.bits(key, (-(-x.size // 2),), jnp.uint32)
        halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)
        mask = halves[: x.size].reshape(x.shape) <= highest
        return jnp.where(mask, x / kept, 0), mask

    def backward(params: Params, mask: Array, dy: Array) -> tuple[Params, Array]:
        return (), jnp.where(mask, dy / kept, 0)

    return Layer(lambda key, x: (), lambda params, x: x, forward, backward, f"dropout({rate:g})")
