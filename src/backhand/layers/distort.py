"""Distortions: in training, every picture a little otherwise at every step, and the same digit still."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Layer


def distort(
    image_shape: tuple[int, int],
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    alpha: float = 0.0,
    sigma: float = 4.0,
) -> Layer:
    """In training y(p) = x(A p + t + u(p)), each picture resampled where a random map sends its pixels; in use y = x.

    p runs over pixels, from the picture's middle. Drawn uniformly for each example: t from ±shift pixels both
    ways; A turns by ±rotate degrees, enlarges by a factor within 1 ± scale, and shears by ±shear pixels a pixel.
    u is Simard's elastic field: at every pixel a step from ±1 both ways, smoothed by a Gaussian of `sigma`
    pixels, times `alpha` (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks", 2003).

    Between pixels x is bilinear, with no ink beyond the edge. So y is linear in x, y_p = Σ_q w_pq x_q, with four
    weights a pixel, and dx_q = Σ_p w_pq dy_p: each dy goes back to the pixels it was read from. Keeps where.

    x (batch, height × width), floating; params are (). Raises TypeError or ValueError where image_shape is not
    two positive integers, another argument not a number ≥ 0, sigma not above 0, scale not below 1, or x's rows
    are no pictures of that shape.
    """
    height, width = checks.image_shape("distort", image_shape)
    checks.fraction("distort", "scale", scale)
    checks.positive_number("distort", "sigma", sigma)
    for name, value in {"shift": shift, "rotate": rotate, "shear": shear, "alpha": alpha}.items():
        checks.non_negative_number("distort", name, value)
    at = np.indices((height, width)).reshape(2, -1).T[None]  # every pixel's (row, column)
    last = np.array([[[height - 1, width - 1]]])
    limits = np.array([[shift, shift, math.radians(rotate), scale, shear]])
    blur_rows, blur_columns = alpha * _blur(height, sigma), _blur(width, sigma)

    def places(key: jax.Array, count: int, dtype: Any) -> Any:
        """Where each pixel of each picture is read: (count, pixels, 2), as row and column."""
        affine_key, elastic_key = jax.random.split(key)
        drawn = jax.random.uniform(affine_key, (count, 5), jnp.float32, -1, 1).astype(dtype)
        t, angle, growth, slant = jnp.split(drawn * limits.astype(dtype), (2, 3, 4), axis=1)
        cos, sin = jnp.cos(angle) / (1 + growth), jnp.sin(angle) / (1 + growth)
        a = jnp.concatenate([cos, -sin, sin + slant * cos, cos - slant * sin], 1).reshape(count, 2, 2)
        middle = (last / 2).astype(dtype)
        source = (at.astype(dtype) - middle) @ a + t[:, None] + middle
        if alpha > 0:
            steps = jax.random.uniform(elastic_key, (count, height, width, 2), jnp.float32, -1, 1)
            u = jnp.einsum(
                "rs,nscd,kc->nrkd", blur_rows.astype(dtype), steps.astype(dtype), blur_columns.astype(dtype)
            )
            source += u.reshape(source.shape)
        return source

    def corners(source: jax.Array, dtype: Any) -> list[tuple[jax.Array, jax.Array]]:
        """The four pixels around each place, as positions in a row of x, with their weights: 0 beyond the edge."""
        pairs = []
        for corner in np.array([[0, 0], [0, 1], [1, 0], [1, 1]]):
            pixel = jnp.floor(source) + corner.astype(source.dtype)[None, None]
            inside = ((pixel >= 0) & (pixel <= last.astype(source.dtype))).all(-1)
            weight = jnp.where(inside, (1 - jnp.abs(source - pixel)).prod(-1), 0)
            row, column = jnp.clip(pixel, 0, last.astype(source.dtype)).astype(jnp.int32).transpose(2, 0, 1)
            pairs.append((row * width + column, weight.astype(dtype)))
        return pairs

    def forward(params: Any, x: Any, key: jax.Array) -> Any:
        checks.matrix("distort", x, inputs=height * width)
        # Half precision can't tell neighbouring pixels apart.
        source = places(key, len(x), x.dtype if jnp.finfo(x.dtype).bits >= 32 else jnp.float32)
        return sum(w * jnp.take_along_axis(x, q, 1) for q, w in corners(source, x.dtype)), source

    def backward(params: Any, source: Any, dy: Any) -> Any:
        rows = jnp.arange(len(dy))[:, None]
        dx = jnp.zeros_like(dy)
        for q, w in corners(source, dy.dtype):
            dx = dx.at[rows, q].add(w * dy)
        return (), dx

    return Layer(lambda key, x: (), lambda params, x: x, forward, backward, "distort")


def _blur(size: int, sigma: float) -> np.ndarray:
    """The matrix that smooths `size` values in a line by a Gaussian of `sigma` places, with zeros beyond them."""
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    return np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
