"""The linear layer, and how to start its weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, glorot_uniform, he_normal, variance_scaling, zeros

from backhand import checks
from backhand.layer import Layer, deterministic

# Each keeps the variance of what flows through the net about the same from layer to layer.
he = he_normal()  # var 2/inputs, for relu and its kin (He et al., 2015)
glorot = glorot_uniform()  # var 2/(inputs + features), for tanh and its kin (Glorot and Bengio, 2010)
lecun = variance_scaling(1.0, "fan_in", "normal")  # N(0, 1/√inputs), the lesson's (LeCun et al., 1998)


class Linear(NamedTuple):
    """The parameters of `linear`: w of shape (inputs, features), b of shape (features,)."""

    w: Any
    b: Any


def linear(features: int, kernel_init: Initializer = glorot, bias_init: Initializer = zeros) -> Layer:
    """The affine map y = x w + b, row by row: x (batch, inputs) to y (batch, features).

    With y_nj = Σ_i x_ni w_ij + b_j, the chain rule sums over wherever an entry was used:

        dw_ij = Σ_n x_ni dy_nj      dw = xᵀ dy
        db_j  = Σ_n dy_nj           b was copied to every row, so its gradient is summed over them
        dx_ni = Σ_j dy_nj w_ij      dx = dy wᵀ

    Kept for the backward pass: x, which dw needs; dx needs only w. The lesson this grew from keeps the
    transpose, w of shape (features, inputs) and y = w x + b for one example as a column; with a batch
    of rows ours needs no transpose going forward (Goodfellow et al., Deep Learning, 2016, §6.5).

    kernel_init and bias_init are from `jax.nn.initializers`, called with (key, shape, dtype); the dtype
    is that of x. Raises TypeError or ValueError where `features` is not a positive integer, and, from
    `init` and `forward`, where x is not a floating-point matrix, or not as wide as w is high.
    """
    checks.positive_integer("linear", "features", features)

    def init(key: jax.Array, x: Any) -> Linear:
        checks.matrix(f"linear({features})", x)
        kernel_key, bias_key = jax.random.split(key)
        w = kernel_init(kernel_key, (x.shape[1], features), x.dtype)
        b = bias_init(bias_key, (features,), x.dtype)
        return Linear(w, b)

    def forward(params: Linear, x: Any) -> Any:
        w, b = params
        checks.matrix(f"linear({features})", x, inputs=len(w))
        y = x @ w
        return y + jnp.broadcast_to(b, y.shape), x  # (batch, features)

    def backward(params: Linear, x: Any, dy: Any) -> Any:
        dw = x.T @ dy  # (inputs, features)
        db = dy.sum(0)  # (features,)
        dx = dy @ params.w.T  # (batch, inputs)
        return Linear(dw, db), dx

    return deterministic(init, forward, backward, name=f"linear({features})")
