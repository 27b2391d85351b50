"""The gradient of a net's loss by its parameters, two ways with one signature.

    (params, x, y, key) -> (value, dparams)

`manual` is the chain rule as the layers write it down. `autodiff` asks JAX, through the same
forward; it is there to compare with, and nothing else in training uses it.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax

from backhand import checks
from backhand.layer import Array, Key, Layer, Params, Tree
from backhand.losses import Loss

Gradient: TypeAlias = Callable[[Params, Tree, Tree, Key], tuple[Array, Params]]


def manual(net: Layer, loss: Loss) -> Gradient:
    """Back-propagation by hand (Rumelhart, Hinton and Williams, 1986): forward, then back again.

    The returned function takes params, a batch x (batch, …), its targets y and a typed key, and
    returns the loss, a scalar, and its gradient, with the structure, shapes and dtypes of params.
    Raises TypeError if net is not a Layer or loss not a Loss.
    """
    checks.net("manual", "net", net)
    checks.loss("manual", "loss", loss)

    def gradient(params: Params, x: Tree, y: Tree, key: Key) -> tuple[Array, Params]:
        prediction, residuals = net.forward(params, x, key)
        value, loss_residuals = loss.forward(prediction, y)
        dprediction = loss.backward(loss_residuals)
        dparams, _ = net.backward(params, residuals, dprediction)
        return value, dparams

    return gradient


def autodiff(net: Layer, loss: Loss) -> Gradient:
    """The same by `jax.value_and_grad` of the same forward, key and all."""
    checks.net("autodiff", "net", net)
    checks.loss("autodiff", "loss", loss)

    def objective(params: Params, x: Tree, y: Tree, key: Key) -> Array:
        prediction, _ = net.forward(params, x, key)
        value, _ = loss.forward(prediction, y)
        return value

    return jax.value_and_grad(objective)
