"""The contract: what a layer is.

A layer is two pairs of pure functions. `init` and `apply` are for using it, `forward` and `backward`
for training it. `forward` computes what `apply` computes and keeps the residuals: what it learned on
the way that the chain rule will need coming back. `backward` *is* the chain rule, written by hand:
given ∂L/∂y it returns ∂L/∂params and ∂L/∂x.

    init     (key, x)                 -> params
    apply    (params, x)              -> y
    forward  (params, x, key)         -> (y, residuals)
    backward (params, residuals, dy)  -> (dparams, dx)

The batch axis comes first in x, y and their gradients. Parameters are pytrees of arrays, and never
change; `dparams` has exactly the structure, shapes and dtypes of `params`. A layer holds no array and
no state. There is no train/test switch: what differs between the two (dropout, say) differs between
`forward` and `apply`.

In every layer `dw` is short for ∂L/∂w: the derivative of the loss, a scalar, by each entry of w.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # typed, as jax.random.key makes one
Shaped: TypeAlias = jax.Array | jax.ShapeDtypeStruct  # all that init needs of x: shape and dtype
Tree: TypeAlias = Any  # a pytree of arrays
Params: TypeAlias = Tree
Residuals: TypeAlias = Tree
Init: TypeAlias = Callable[[Key, Shaped], Params]


class Layer(NamedTuple):
    """Four pure functions, and how to read them out loud.

    The last three fields describe a layer to people and to tools; training never looks at them. A
    combinator lists the layers it is made of in `parts`, and `combine(*parts)` makes it again.
    """

    init: Init
    apply: Callable[[Params, Any], Any]
    forward: Callable[[Params, Any, jax.Array], tuple[Any, Residuals]]
    backward: Callable[[Params, Residuals, Any], tuple[Params, Any]]
    name: str = "layer"
    parts: tuple["Layer", ...] = ()
    combine: Callable[..., "Layer"] | None = None


def deterministic(
    init: Init,
    forward: Callable[[Params, Any], tuple[Any, Residuals]],
    backward: Callable[[Params, Residuals, Any], tuple[Params, Any]],
    name: str | None = None,
) -> Layer:
    """Lift the simple form, whose `forward(params, x)` needs no key, to a `Layer`.

    `apply` is `forward` without its residuals. Without a `name` the layer is called after the function
    in which its `forward` was defined: its constructor.
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
    forward: Callable[[Any], tuple[Any, Residuals]],
    backward: Callable[[Residuals, Any], Any],
) -> Layer:
    """Lift `forward(x) -> (y, residuals)` and `backward(residuals, dy) -> dx` to a `Layer` whose params are ()."""
    return deterministic(
        init=lambda key, x: (),
        forward=lambda params, x: forward(x),
        backward=lambda params, residuals, dy: ((), backward(residuals, dy)),
        name=name,
    )


def map_layers(f: Callable[[tuple[int, ...], Layer], Layer], net: Layer, path: tuple[int, ...] = ()) -> Layer:
    """The same net with every layer in it replaced by `f(path, layer)`, parts before what they make.

    `path` says where a layer stands: () is the net, (1, 0) the first part of its second part. Wrapping
    each layer's functions in observers this way shows what flows through a net, whatever its combinators.
    """
    if net.combine is not None:
        net = net.combine(*(map_layers(f, part, (*path, i)) for i, part in enumerate(net.parts)))
    return f(path, net)
