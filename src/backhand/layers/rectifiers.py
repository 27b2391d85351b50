"""The rectifiers: straight for x > 0, held back for x < 0.

At the kink x = 0 they take the side that `jax.nn` takes: relu' is 0 there, elu' is α, leaky_relu'
is 1.
"""

import jax
import jax.numpy as jnp

from backhand import checks
from backhand.layer import Array, Layer, parameterless


def _relu() -> Layer:
    """The rectified linear unit, y = max(x, 0), elementwise; dy/dx = 1 if x > 0, else 0.

    Keeps x > 0. (Nair and Hinton, 2010.) A unit whose x is negative on every example has gradient 0
    everywhere: dead.
    """

    def forward(x: Array) -> tuple[Array, Array]:
        return jnp.where(x <= 0, 0, x), x > 0  # in this form NaN stays NaN

    def backward(on: Array, dy: Array) -> Array:
        return jnp.where(on, dy, 0)

    return parameterless("relu", forward, backward)


def leaky_relu(slope: float = 0.01) -> Layer:
    """The leaky rectifier, y = x if x ≥ 0, else slope·x; dy/dx = 1 or slope. Keeps x ≥ 0.

    The slope keeps a gradient where relu would be dead (Maas et al., 2013). Raises TypeError or
    ValueError unless it is a finite number.
    """
    slope = checks.finite_number("leaky_relu", "slope", slope)

    def forward(x: Array) -> tuple[Array, Array]:
        return jnp.where(x >= 0, x, slope * x), x >= 0

    def backward(on: Array, dy: Array) -> Array:
        return jnp.where(on, dy, slope * dy)

    return parameterless(f"leaky_relu({slope})", forward, backward)


def elu(alpha: float = 1.0) -> Layer:
    """The exponential linear unit, y = x if x > 0, else α(eˣ − 1); dy/dx = 1 or α eˣ. Keeps x.

    For α = 1 the slope has no jump (Clevert et al., 2016). α eˣ = y + α too, but far below 0 that
    sum cancels, and x is kept anyway: it is the output of the layer before. Raises TypeError or
    ValueError unless α is a finite number.
    """
    alpha = checks.finite_number("elu", "alpha", alpha)

    def forward(x: Array) -> tuple[Array, Array]:
        # The branch that is not taken must not overflow: its infinity times 0 would be NaN.
        return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0, x))), x

    def backward(x: Array, dy: Array) -> Array:
        return jnp.where(x > 0, dy, dy * alpha * jnp.exp(jnp.where(x > 0, 0, x)))

    return parameterless(f"elu({alpha})", forward, backward)


def _softplus() -> Layer:
    """The smooth rectifier, y = log(1 + eˣ), elementwise; dy/dx = 1/(1 + e⁻ˣ), the sigmoid.

    Keeps x. (Dugas et al., 2001.) Computed as log(e⁰ + eˣ) with the larger exponent taken out: no
    overflow.
    """

    def forward(x: Array) -> tuple[Array, Array]:
        return jnp.logaddexp(x, 0), x

    def backward(x: Array, dy: Array) -> Array:
        return dy * jax.nn.sigmoid(x)

    return parameterless("softplus", forward, backward)


relu = _relu()
softplus = _softplus()
