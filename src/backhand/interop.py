"""The way out: a layer as a function that Flax, Equinox and plain JAX can differentiate.

JAX then differentiates everything around the layer, and where it comes to the layer asks our backward pass.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters.partial_eval import dce_jaxpr

from backhand import checks
from backhand.layer import Layer


def as_custom_vjp(layer: Layer) -> Callable[..., Any]:
    """The layer as `f(params, x, key=None)`, a `jax.custom_vjp` function whose backward is the layer's by-hand one.

    With a key, f is the layer in training: its value is that of `layer.forward`, and the key gets no gradient.
    Without one its value is that of `layer.apply`, and it can be differentiated where the layer draws nothing
    at random; for one that does (dropout), `apply` is another function than the one `backward` belongs to.

    jit, vmap and scan work as ever. Raises TypeError where `layer` is not a Layer, and, when f is differentiated,
    ValueError where the layer needs a key and got none, and TypeError in forward mode (`jax.jvp`, `jax.jacfwd`,
    `jax.linearize`): a backward pass says how gradients come back, not how tangents go forward.
    """
    checks.layers("as_custom_vjp", (layer,))

    @jax.custom_vjp
    def by_hand(params: Any, x: Any, key: Any) -> Any:
        return layer.apply(params, x) if key is None else layer.forward(params, x, key)[0]

    def forward(params: Any, x: Any, key: Any) -> Any:
        if key is None:
            key = jax.random.key(0)  # for the combinators, which split one; none of their layers looks at it
            if reads_key(layer, params, x, key):
                raise ValueError(
                    f"as_custom_vjp: {layer.name} draws at random when it is trained, so its gradient needs a "
                    f"key; f(params, x, key) would work"
                )
        y, residuals = layer.forward(params, x, key)
        return y, (params, residuals)

    def backward(kept: Any, dy: Any) -> Any:
        params, residuals = kept
        dparams, dx = layer.backward(params, residuals, dy)
        return dparams, dx, None

    by_hand.defvjp(forward, backward)

    def f(params: Any, x: Any, key: Any = None) -> Any:
        params, x = jax.tree.map(reverse_only, (params, x))
        return by_hand(params, x, key)

    return f


def reads_key(layer: Layer, params: Any, x: Any, key: Any) -> bool:
    """Whether anything that the layer's forward returns depends on the key."""
    jaxpr = jax.make_jaxpr(lambda key: layer.forward(params, x, key))(key).jaxpr
    _, [read] = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return bool(read)


# JAX itself refuses the forward mode of a custom_vjp function, but does not say why. We get there first (but for
# jacfwd of a jitted f): every input passes through the identity, whose derivative is a primitive that can be
# transposed, which is all that reverse mode asks of it, and that raises where forward mode would evaluate it.


@jax.custom_jvp
def reverse_only(x: Any) -> Any:
    """The identity, in reverse mode and without differentiation; in forward mode it raises TypeError."""
    return x


def _push_forward(primals: Any, tangents: Any) -> Any:
    [x], [tangent] = primals, tangents
    zero = isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    return x, tangent if zero else _tangent_p.bind(tangent)


reverse_only.defjvp(_push_forward, symbolic_zeros=True)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "as_custom_vjp: forward mode (jax.jvp, jax.jacfwd, jax.linearize) has no rule for a layer, whose backward "
        "pass is written by hand: it takes gradients back, and no tangents forward; use jax.grad, jax.vjp or jax.jacrev"
    )


_tangent_p = Primitive("tangent_of_a_layer_by_hand")
_tangent_p.def_impl(_refuse)
_tangent_p.def_abstract_eval(lambda tangent: tangent)
ad.deflinear2(_tangent_p, lambda dy, _: [dy])
batching.defvectorized(_tangent_p)
mlir.register_lowering(_tangent_p, _refuse)
