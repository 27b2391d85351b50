"""Right rules and wrong ones, as users write them."""

from typing import Any

import jax
import jax.numpy as jnp

from backhand import Layer, Linear, deterministic, linear


def wrong(layer: Layer, spoil: Any) -> Layer:
    """The layer with its backward's dparams and dx passed through spoil."""
    return layer._replace(
        backward=lambda params, residuals, dy: spoil(*layer.backward(params, residuals, dy))
    )


def linear_with(**spoils: Any) -> Layer:
    """linear(4) with its dw, db or dx passed through a function."""

    def spoil(dparams: Linear, dx: Any) -> Any:
        gradients = {"dw": dparams.w, "db": dparams.b, "dx": dx}
        gradients |= {name: spoils[name](gradients[name]) for name in spoils}
        return Linear(gradients["dw"], gradients["db"]), gradients["dx"]

    return wrong(linear(4), spoil)


def layer_norm(mean_term: bool = True) -> Layer:
    """y = (x − mean)/σ by rows; dx = (dy − mean(dy) − y mean(dy y))/σ, perhaps without mean(dy)."""

    def forward(params: Any, x: Any) -> Any:
        z = x - x.mean(1, keepdims=True)
        scale = 1 / jnp.sqrt((z * z).mean(1, keepdims=True) + 1e-5)
        return z * scale, (z * scale, scale)

    def backward(params: Any, residuals: Any, dy: Any) -> Any:
        y, scale = residuals
        dx = dy - y * (dy * y).mean(1, keepdims=True)
        if mean_term:
            dx = dx - dy.mean(1, keepdims=True)
        return (), dx * scale

    return deterministic(lambda key, x: (), forward, backward, name="layer_norm")


def softmax_rule(row_sum: bool = True) -> tuple[Any, Any]:
    """A (forward, backward) pair: dx = y (dy − Σ dy y), whose row sum may be left out."""

    def softmax_forward(x: Any) -> Any:
        y = jax.nn.softmax(x, axis=-1)
        return y, y

    def backward(y: Any, dy: Any) -> Any:
        total = (dy * y).sum(-1, keepdims=True) if row_sum else jnp.zeros_like(dy[..., :1])
        return y * (dy - total)

    return softmax_forward, backward


def plain_attention(q: Any, k: Any, v: Any) -> Any:
    """softmax(q kᵀ) v of q (queries, width), k (keys, width), v (keys, values)."""
    return jax.nn.softmax(q @ k.T, axis=-1) @ v


def attention(row_sum: bool = True) -> Any:
    """The same with a custom_vjp rule."""

    def forward(q: Any, k: Any, v: Any) -> Any:
        p = jax.nn.softmax(q @ k.T, axis=-1)
        return p @ v, (q, k, v, p)

    def backward(residuals: Any, dy: Any) -> Any:
        q, k, v, p = residuals
        dp = dy @ v.T
        ds = p * dp
        if row_sum:
            ds = ds - p * (dp * p).sum(-1, keepdims=True)
        return ds @ k, ds.T @ q, p.T @ dy

    f = jax.custom_vjp(plain_attention)
    f.defvjp(forward, backward)
    return f
