"""Pictures as they are stored: bytes in, numbers out."""

import jax.numpy as jnp

from backhand.layer import Array, Layer, parameterless


def _scale_pixels() -> Layer:
    """A picture's bytes as ink: uint8 x from 0 … 255 gives y = x/255, float32, from 0 to 1.

    Integers have no derivative: their dx is None. A floating x passes as it is, y = x and dx = dy,
    so that a net which begins with this layer takes either. Keeps nothing. With it a data set stays
    in bytes, a quarter of the memory, and each batch is scaled where it is used.
    """

    def forward(x: Array) -> tuple[Array, tuple[()] | None]:
        if jnp.issubdtype(x.dtype, jnp.floating):
            return x, ()
        if x.dtype != jnp.uint8:
            raise TypeError(f"scale_pixels: x should be uint8 or floating, got {x.dtype}")
        return x.astype(jnp.float32) / 255, None

    def backward(floating: tuple[()] | None, dy: Array) -> Array | None:
        return None if floating is None else dy

    return parameterless("scale_pixels", forward, backward)


scale_pixels = _scale_pixels()
