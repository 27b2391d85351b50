"""The self-gating activations, y = x·g(x): the input, weighed by how sure a gate g is of it.

By the product rule dy/dx = g(x) + x g'(x). x is kept, and the gate computed again: an elementwise
function is cheaper to compute again than to keep. Both dip below 0 for x < 0, so their slopes there
are negative.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc

from backhand.layer import Array, Layer, parameterless


def _gelu() -> Layer:
    """The Gaussian error linear unit, y = x Φ(x), elementwise.

    Φ is the standard normal's distribution, and φ = Φ' its density, e^(−x²/2)/√(2π):
    dy/dx = Φ(x) + x φ(x). Keeps x. This is the exact form of Hendrycks and Gimpel (2016), not their
    tanh approximation, the default of `jax.nn.gelu`.
    """

    def gate(x: Array) -> Array:
        return 0.5 * erfc(-x / math.sqrt(2))  # Φ, by erfc, which keeps its digits in the lower tail

    def forward(x: Array) -> tuple[Array, Array]:
        return x * gate(x), x

    def backward(x: Array, dy: Array) -> Array:
        z = -x / math.sqrt(2)
        density = jnp.exp(-(z * z)) / math.sqrt(2 * math.pi)  # in this form XLA shares it with erfc
        return dy * (gate(x) + x * density)

    return parameterless("gelu", forward, backward)


def _silu() -> Layer:
    """The sigmoid linear unit, or swish, y = x σ(x), elementwise, with σ(x) = 1/(1 + e⁻ˣ).

    dy/dx = σ(x) (1 + x (1 − σ(x))). Keeps x. (Elfwing et al., 2018; Ramachandran et al., 2017.)
    """

    def forward(x: Array) -> tuple[Array, Array]:
        return x * jax.nn.sigmoid(x), x

    def backward(x: Array, dy: Array) -> Array:
        gate = jax.nn.sigmoid(x)
        return dy * gate * (1 + x * (1 - gate))

    return parameterless("silu", forward, backward)


gelu = _gelu()
silu = _silu()
