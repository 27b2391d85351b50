"""The S-shaped activations: tanh and sigmoid.

Both have derivatives that are polynomials in their own output, so y is all that is kept for the
backward pass, and x can be forgotten.
"""

import jax
import jax.numpy as jnp

from backhand.layer import Array, Layer, parameterless


def _tanh() -> Layer:
    """The hyperbolic tangent, y = (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ), elementwise; dy/dx = 1 − y². Keeps y.

    Odd and steepest at 0 (slope 1), which suits inputs of mean zero (LeCun et al., "Efficient
    backprop", 1998).
    """

    def forward(x: Array) -> tuple[Array, Array]:
        y = jnp.tanh(x)
        return y, y

    def backward(y: Array, dy: Array) -> Array:
        return dy * ((1 - y) * (1 + y))  # 1 − y², but near y = ±1 it keeps its digits

    return parameterless("tanh", forward, backward)


def _sigmoid() -> Layer:
    """The logistic function, y = 1/(1 + e⁻ˣ), elementwise; dy/dx = y (1 − y). Keeps y.

    Its slope is nowhere above ¼, so each such layer shrinks the gradient at least fourfold.
    """

    def forward(x: Array) -> tuple[Array, Array]:
        y = jax.nn.sigmoid(x)
        return y, y

    def backward(y: Array, dy: Array) -> Array:
        return dy * y * (1 - y)

    return parameterless("sigmoid", forward, backward)


tanh = _tanh()
sigmoid = _sigmoid()
