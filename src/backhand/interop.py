"""The way out: a layer as a function that Flax, Equinox and plain JAX can differentiate.

JAX then differentiates everything around the layer, and asks our backward pass for the layer.
"""

from collections.abc import Callable
from typing import NoReturn

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters.partial_eval import dce_jaxpr

from backhand import checks
from backhand.layer import Array, Key, Layer, Params, Residuals, Tree


def as_custom_vjp(layer: Layer) -> Callable[..., Tree]:
    """The layer as `f(params, x, key=None)`, a `jax.custom_vjp` function with the layer's backward.

    With a key, f is the layer in training: its value is that of `layer.forward`, and the key gets
    no gradient. Without one its value is that of `layer.apply`, and it can be differentiated if the
    layer draws nothing at random; if it does (dropout), `backward` belongs to a different function
    from `apply`.

    jit, vmap and scan work as ever. Raises TypeError if `layer` is not a Layer, and, when f is
    differentiated, ValueError if the layer needs a key and got none, and TypeError in forward mode
    (`jax.jvp`, `jax.jacfwd`, `jax.linearize`): a backward pass says how gradients come back, not
    how tangents go forward.
    """
    checks.layers("as_custom_vjp", (layer,))

    @jax.custom_vjp
    def by_hand(params: Params, x: Tree, key: Key | None) -> Tree:
        return layer.apply(params, x) if key is None else layer.forward(params, x, key)[0]

    def forward(params: Params, x: Tree, key: Key | None) -> tuple[Tree, Residuals]:
        if key is None:
            key = jax.random.key(0)  # for combinators, which split one whether or not it is read
            if any(reads(lambda key: layer.forward(params, x, key), key)):
                raise ValueError(
                    f"as_custom_vjp: {layer.name} draws at random when it is trained, so its "
                    f"gradient needs a key; f(params, x, key) would work"
                )
        y, residuals = layer.forward(params, x, key)
        return y, (params, residuals)

    def backward(kept: Residuals, dy: Tree) -> tuple[Params, Tree, None]:
        params, residuals = kept
        dparams, dx = layer.backward(params, residuals, dy)
        return dparams, dx, None

    by_hand.defvjp(forward, backward)

    def f(params: Params, x: Tree, key: Key | None = None) -> Tree:
        params, x = jax.tree.map(reverse_only, (params, x))
        return by_hand(params, x, key)

    return f


def reads(function: Callable[..., Tree], *arguments: Tree) -> list[bool]:
    """For each leaf of the arguments, whether anything that the function returns depends on it."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    _, read = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return read


# JAX itself refuses the forward mode of a custom_vjp function, but does not say why. Here every
# input first passes through the identity, whose derivative is a primitive that can be transposed,
# which is all that reverse mode asks of it, and that raises when forward mode would evaluate it.
# (Only jacfwd of a jitted f still gets JAX's own message.)


@jax.custom_jvp
def reverse_only(x: Array) -> Array:
    """The identity, which in forward mode raises TypeError."""
    return x


def _push_forward(primals: tuple[Tree], tangents: tuple[Tree]) -> tuple[Tree, Tree]:
    [x], [tangent] = primals, tangents
    zero = isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    return x, tangent if zero else _tangent_p.bind(tangent)


reverse_only.defjvp(_push_forward, symbolic_zeros=True)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError(
        "as_custom_vjp: forward mode (jax.jvp, jax.jacfwd, jax.linearize) has no rule for a layer, "
        "whose backward pass is written by hand: it takes gradients back, and no tangents forward; "
        "use jax.grad, jax.vjp or jax.jacrev"
    )


_tangent_p = Primitive("tangent_of_a_layer_by_hand")
_tangent_p.def_impl(_refuse)
_tangent_p.def_abstract_eval(lambda tangent: tangent)
ad.deflinear2(_tangent_p, lambda dy, _: [dy])
batching.defvectorized(_tangent_p)
mlir.register_lowering(_tangent_p, _refuse)
