"""Softmax: scores to probabilities."""

import jax

from backhand.layer import Array, Layer, parameterless


def _softmax() -> Layer:
    """Softmax over the last axis, y_i = exp(x_i)/Σ_k exp(x_k): x (…, classes) to y of that shape.

    Every output depends on every input of its row: ∂y_i/∂x_j = y_i (δ_ij − y_j). So

        dx_j = Σ_i dy_i y_i (δ_ij − y_j) = y_j (dy_j − Σ_i dy_i y_i)

    Keeps y. The row's largest score is subtracted first, which changes nothing (numerator and
    denominator shrink alike) and lets nothing overflow. A score of −∞ is a probability of 0. Rows
    of y sum to 1, so a dy that is constant along a row has no effect (Bridle, 1990).
    """

    def forward(x: Array) -> tuple[Array, Array]:
        y = jax.nn.softmax(x, axis=-1)
        return y, y

    def backward(y: Array, dy: Array) -> Array:
        return y * (dy - (dy * y).sum(-1, keepdims=True))

    return parameterless("softmax", forward, backward)


softmax = _softmax()
