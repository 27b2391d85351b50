"""The self-gating activations, y = x·g(x): the input, weighed by how sure a gate g is of it.

By the product rule dy/dx = g(x) + x g'(x). x is kept, the gate computed anew: an elementwise function is
cheaper to compute again than to keep. Both dip below 0 for x < 0, so their slopes there are negative.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc

from backhand.layer import Layer, parameterless


def _gelu() -> Layer:
    """The Gaussian error linear unit, y = x Φ(x), elementwise, with Φ the standard normal's distribution.

    dy/dx = Φ(x) + x φ(x), with φ = Φ' its density, e^(−x²/2)/√(2π). Keeps x. This is the exact form of
    Hendrycks and Gimpel (2016), not their tanh approximation, the default of `jax.nn.gelu`.
    """

    def gate(x: Any) -> Any:
        return 0.5 * erfc(-x / math.sqrt(2))  # Φ, by erfc, which keeps its digits in the lower tail

    def forward(x: Any) -> Any:
        return x * gate(x), x

    def backward(x: Any, dy: Any) -> Any:
        z = -x / math.sqrt(2)
        density = jnp.exp(-(z * z)) / math.sqrt(2 * math.pi)  # so written, XLA shares e^(−z²) with erfc
        return dy * (gate(x) + x * density)

    return parameterless("gelu", forward, backward)


def _silu() -> Layer:
    """The sigmoid linear unit, or swish, y = x σ(x), elementwise, with σ(x) = 1/(1 + e⁻ˣ).

    dy/dx = σ(x) (1 + x (1 − σ(x))). Keeps x. (Elfwing et al., 2018; Ramachandran et al., 2017.)
    """

    def forward(x: Any) -> Any:
        return x * jax.nn.sigmoid(x), x

    def backward(x: Any, dy: Any) -> Any:
        gate = jax.nn.sigmoid(x)
        return dy * gate * (1 + x * (1 - gate))

    return parameterless("silu", forward, backward)


gelu = _gelu()
silu = _silu()
