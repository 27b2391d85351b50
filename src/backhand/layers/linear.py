"""The linear layer, and weights to start it from.

Those keep the variance of what flows through the net about the same from layer to layer.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import glorot_uniform, he_normal, zeros

from backhand import checks
from backhand.layer import Array, Key, Layer, Shaped, deterministic

Initializer: TypeAlias = Callable[[Key, tuple[int, ...], np.dtype], Array]


def he(key: Key, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Normal weights of variance 2/inputs, for relu and its kin, which let half of it through.

    (He et al., "Delving deep into rectifiers", 2015.)
    """
    return he_normal()(key, shape, dtype)


def glorot(key: Key, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Uniform weights within ±√(6/(inputs + features)), for tanh and its kin.

    Their variance is 2/(inputs + features): between 1/inputs, which would keep that of y at that of
    x, and 1/features, which would keep that of dx at that of dy. (Glorot and Bengio, "Understanding
    the difficulty of training deep feedforward neural networks", 2010.)
    """
    return glorot_uniform()(key, shape, dtype)


class Linear(NamedTuple):
    """The parameters of `linear`: w of shape (inputs, features), b of shape (features,)."""

    w: Array
    b: Array


def linear(
    features: int, kernel_init: Initializer = glorot, bias_init: Initializer = zeros
) -> Layer:
    """The affine map y = x w + b, row by row: x (batch, inputs) to y (batch, features).

    With y_nj = Σ_i x_ni w_ij + b_j, the chain rule sums over wherever an entry was used:

        dw_ij = Σ_n x_ni dy_nj      dw = xᵀ dy
        db_j  = Σ_n dy_nj           b was copied to every row, so its gradient is summed over them
        dx_ni = Σ_j dy_nj w_ij      dx = dy wᵀ

    Kept for the backward pass: x, which dw needs; dx needs only w. The lesson this grew from keeps
    the transpose, w of shape (features, inputs) and y = w x + b for one example as a column; with a
    batch of rows ours needs no transpose going forward (Goodfellow et al., Deep Learning, 2016,
    §6.5).

    kernel_init and bias_init are called with (key, shape, dtype), as those of `jax.nn.initializers`
    are; the dtype is that of x. Raises TypeError or ValueError if `features` is not a positive
    integer, and, from `init` and `forward`, if x is not a floating-point matrix, or not as wide as
    w is high.
    """
    name = f"linear({checks.positive_integer('linear', 'features', features)})"

    def init(key: Key, x: Shaped) -> Linear:
        checks.matrix(name, "x", x)
        kernel_key, bias_key = jax.random.split(key)
        w = kernel_init(kernel_key, (x.shape[1], features), x.dtype)
        b = bias_init(bias_key, (features,), x.dtype)
        return Linear(w, b)

    def forward(params: Linear, x: Array) -> tuple[Array, Array]:
        w, b = params
        checks.matrix(name, "x", x, inputs=len(w))
        y = x @ w
        return y + jnp.broadcast_to(b, y.shape), x  # (batch, features)

    def backward(params: Linear, x: Array, dy: Array) -> tuple[Linear, Array]:
        dw = x.T @ dy  # (inputs, features)
        db = dy.sum(0)  # (features,)
        dx = dy @ params.w.T  # (batch, inputs)
        return Linear(dw, db), dx

    return deterministic(init, forward, backward, name)
