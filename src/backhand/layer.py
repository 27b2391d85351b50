"""The contract: what a layer is.

A layer is two pairs of pure functions. `init` and `apply` are for using it, `forward` and
`backward` for training it. `forward` computes what `apply` computes and keeps the residuals: what
it learned on the way that the chain rule will need coming back. `backward` *is* the chain rule,
written by hand: given ∂L/∂y it returns ∂L/∂params and ∂L/∂x.

    init     (key, x)                 -> params
    apply    (params, x)              -> y
    forward  (params, x, key)         -> (y, residuals)
    backward (params, residuals, dy)  -> (dparams, dx)

The batch axis comes first in x, y and their gradients. Parameters are pytrees of arrays and never
change; `dparams` has exactly the structure, shapes and dtypes of `params`. An x of integers has no
derivative: its dx is None. A layer holds no array and no state. There is no train/test switch: what
differs between the two (dropout, say) differs between `forward` and `apply`.

In every layer `dw` is short for ∂L/∂w: the derivative of the loss, a scalar, by each entry of w.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
HostOrDevice: TypeAlias = jax.Array | np.ndarray  # what users have: JAX's arrays, or NumPy's
Key: TypeAlias = jax.Array  # typed, as jax.random.key makes one
Tree: TypeAlias = Any  # a pytree of arrays, or one array
Params: TypeAlias = Tree
Residuals: TypeAlias = Tree
# What has a shape and a dtype, which are all that init and most checks need.
Shaped: TypeAlias = jax.Array | np.ndarray | jax.ShapeDtypeStruct
Init: TypeAlias = Callable[[Key, Shaped], Params]


class Layer(NamedTuple):
    """Four pure functions, and how to describe them.

    The last three fields are for people and for tools; training never looks at them. A combinator
    lists the layers it is made of in `parts`, and `combine(*parts)` makes it again.
    """

    init: Init
    apply: Callable[[Params, Tree], Tree]
    forward: Callable[[Params, Tree, Key], tuple[Tree, Residuals]]
    backward: Callable[[Params, Residuals, Tree], tuple[Params, Tree]]
    name: str = "layer"
    parts: tuple["Layer", ...] = ()
    combine: Callable[..., "Layer"] | None = None

    def __repr__(self) -> str:
        return f"<Layer {self.name}>"


def deterministic(
    init: Init,
    forward: Callable[[Params, Tree], tuple[Tree, Residuals]],
    backward: Callable[[Params, Residuals, Tree], tuple[Params, Tree]],
    name: str | None = None,
) -> Layer:
    """Lift the simple form, whose `forward(params, x)` needs no key, to a `Layer`.

    `apply` is `forward` without its residuals. Without a `name` the layer is called after the
    function in which its `forward` was defined: its constructor.
    """
    return Layer(
        init=init,
        apply=lambda params, x: forward(params, x)[0],
        forward=lambda params, x, key: forward(params, x),
        backward=backward,
        name=forward.__qualname__.split(".")[0] if name is None else name,
    )


def parameterless(
    name: str,
    forward: Callable[[Array], tuple[Array, Residuals]],
    backward: Callable[[Residuals, Array], Array | None],
) -> Layer:
    """Lift `forward(x) -> (y, residuals)` and `backward(residuals, dy) -> dx` to a `Layer`.

    Its params are ().
    """
    return deterministic(
        init=lambda key, x: (),
        forward=lambda params, x: forward(x),
        backward=lambda params, residuals, dy: ((), backward(residuals, dy)),
        name=name,
    )


def map_layers(
    f: Callable[[tuple[int, ...], Layer], Layer], net: Layer, path: tuple[int, ...] = ()
) -> Layer:
    """The same net with every layer in it replaced by `f(path, layer)`, parts before their whole.

    `path` is the layer's place: () is the net, (1, 0) the first part of its second part. Wrapping
    each layer's functions in observers this way shows what flows through a net, whatever its
    combinators.
    """
    if net.combine is not None:
        net = net.combine(*(map_layers(f, part, (*path, i)) for i, part in enumerate(net.parts)))
    return f(path, net)
