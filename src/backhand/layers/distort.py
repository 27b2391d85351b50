"""Distortions: in training, every picture a little different at every step, and the same digit."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Array, Key, Layer, Params


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
    """In training y(p) = x(A p + t + u(p)): pixels are read where a random map sends them.

    In use y = x. p runs over pixels, from the picture's middle. Drawn uniformly for each example: t
    from ±shift pixels both ways; A turns by ±rotate degrees, enlarges by a factor within 1 ± scale,
    and shears by ±shear pixels a pixel. u is Simard's elastic field: at every pixel a step from ±1
    both ways, so of standard deviation √⅓, smoothed by a Gaussian of `sigma` pixels, times `alpha`
    (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks", 2003). Sums
    of many steps, as for sigma above 1, are all but normal, and smooth: drawn as a few normal waves
    a side.

    Between pixels x is bilinear, with no ink beyond the edge. So y is linear in x, y_p = Σ_q w_pq
    x_q with four weights a pixel, and dx_q = Σ_p w_pq dy_p: each dy goes back to the pixels it was
    read from. Keeps the places read. x (batch, height × width), floating; params are (). Raises
    TypeError or ValueError if image_shape is not two positive integers, another argument not a
    number ≥ 0, sigma not above 0, scale not below 1, or x not such rows.
    """
    height, width = checks.image_shape("distort", "image_shape", image_shape)
    checks.fraction("distort", "scale", scale)
    checks.positive_number("distort", "sigma", sigma)
    for name, value in {"shift": shift, "rotate": rotate, "shear": shear, "alpha": alpha}.items():
        checks.non_negative_number("distort", name, value)
    at = np.indices((height, width)).reshape(2, -1).T[None]  # every pixel's (row, column)
    last = np.array([[[height - 1, width - 1]]])
    tall, broad = height + 3, width + 3  # framed by emptiness: 1 pixel before the first, 2 after
    limits = np.array([[shift, shift, math.radians(rotate), scale, shear]])
    down, across = alpha / math.sqrt(3) * _waves(height, sigma), _waves(width, sigma)

    def places(key: Key, count: int, dtype: np.dtype) -> Array:  # read: (count, pixels, 2)
        affine_key, elastic_key = jax.random.split(key)
        drawn = jax.random.uniform(affine_key, (count, 5), dtype, -1, 1) * limits.astype(dtype)
        t, angle, growth, slant = jnp.split(drawn, (2, 3, 4), axis=1)
        cos, sin = jnp.cos(angle) / (1 + growth), jnp.sin(angle) / (1 + growth)
        a = jnp.concatenate([cos, -sin, sin + slant * cos, cos - slant * sin], 1)
        source = jnp.matmul((at - last / 2).astype(dtype), a.reshape(count, 2, 2))
        source += t[:, None] + (last / 2).astype(dtype)
        if alpha > 0:
            z = jax.random.normal(elastic_key, (count, down.shape[1], across.shape[1], 2), dtype)
            waves = down.astype(dtype), z, across.astype(dtype)
            source += jnp.einsum("ra,nabd,cb->nrcd", *waves).reshape(source.shape)
        return source

    def corners(source: Array, dtype: np.dtype) -> list[tuple[Array, Array]]:
        """The four pixels around each place: which of all framed pictures', and their weights."""
        source = jnp.clip(source, -1, (last + 1).astype(source.dtype))  # no farther than the frame
        low = jnp.floor(source)
        row, column = (low.astype(jnp.int32) + 1).transpose(2, 0, 1)
        (down, right), (up, left) = (w.transpose(2, 0, 1) for w in (source - low, 1 - source + low))
        q = jnp.arange(len(source), dtype=jnp.int32)[:, None] * tall * broad + row * broad + column
        steps = {0: up * left, 1: up * right, broad: down * left, broad + 1: down * right}
        return [(q + step, weight.astype(dtype)) for step, weight in steps.items()]

    def forward(params: Params, x: Array, key: Key) -> tuple[Array, Array]:
        checks.matrix("distort", "x", x, inputs=height * width)
        # Half precision can't tell neighbouring pixels apart.
        source = places(key, len(x), x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32))
        framed = jnp.pad(x.reshape(-1, height, width), ((0, 0), (1, 2), (1, 2))).reshape(-1)
        y = jnp.zeros_like(x)
        for q, w in corners(source, x.dtype):
            y += w * framed.at[q].get(mode="promise_in_bounds")
        return y, source

    def backward(params: Params, source: Array, dy: Array) -> tuple[Params, Array]:
        framed = jnp.zeros(len(dy) * tall * broad, dy.dtype)
        for q, w in corners(source, dy.dtype):
            framed = framed.at[q].add(w * dy, mode="promise_in_bounds")
        return (), framed.reshape(-1, tall, broad)[:, 1:-2, 1:-2].reshape(dy.shape)

    return Layer(lambda key, x: (), lambda params, x: x, forward, backward, "distort")


def _waves(size: int, sigma: float) -> np.ndarray:
    """U S of a Gaussian blur U S Vᵀ (size, size), less columns with 1e-4 of its power or below."""
    # Normal numbers times Vᵀ are such numbers again: Vᵀ is left out. LAPACK chooses U's signs: a
    # different build of it may draw other fields from one key, as likely ones.
    distance = np.subtract.outer(np.arange(size), np.arange(size)) / sigma
    blur = np.exp(-0.5 * distance**2) / (sigma * math.sqrt(2 * math.pi))
    u, s, _ = np.linalg.svd(blur)
    return np.asarray((u * s)[:, np.cumsum(s**2) - s**2 < (1 - 1e-4) * np.sum(s**2)])
