"""Layers made of layers.

Three facts are all there is to know. The derivative of a composition is the product of the
derivatives, taken from the last to the first: `serial`'s backward is its forward's fold, reversed.
Where a value is *copied* to several places, its gradients from all of them are *summed*; where
several values are summed, the gradient is copied to each. Copying and summing are each other's
transposes.
"""

from functools import reduce
from operator import add

import jax

from backhand import checks
from backhand.layer import Key, Layer, Params, Residuals, Shaped, Tree


def serial(*layers: Layer) -> Layer:
    """The composition y = fₙ(… f₂(f₁(x))): each layer's output is the next one's input.

    With Jᵢ the Jacobian of fᵢ, dx = J₁ᵀ J₂ᵀ … Jₙᵀ dy, multiplied from the right (Rumelhart, Hinton
    and Williams, 1986). Params, residuals and dparams are tuples with one entry a layer. Shapes are
    never declared twice: `init` learns each layer's input from the one before. `serial()` is the
    identity.

    Raises TypeError if an argument is not a layer.
    """
    checks.layers("serial", layers)

    def init(key: Key, x: Shaped) -> Params:
        params = []
        for layer, k in zip(layers, jax.random.split(key, len(layers)), strict=True):
            params.append(layer.init(k, x))
            x = jax.eval_shape(layer.apply, params[-1], x)
        return tuple(params)

    def apply(params: Params, x: Tree) -> Tree:
        for layer, p in zip(layers, params, strict=True):
            x = layer.apply(p, x)
        return x

    def forward(params: Params, x: Tree, key: Key) -> tuple[Tree, Residuals]:
        residuals = []
        for layer, p, k in zip(layers, params, jax.random.split(key, len(layers)), strict=True):
            x, r = layer.forward(p, x, k)
            residuals.append(r)
        return x, tuple(residuals)

    def backward(params: Params, residuals: Residuals, dy: Tree) -> tuple[Params, Tree]:
        dparams = []
        for layer, p, r in zip(layers[::-1], params[::-1], residuals[::-1], strict=True):
            dp, dy = layer.backward(p, r, dy)
            dparams.append(dp)
        return tuple(dparams[::-1]), dy

    return Layer(init, apply, forward, backward, "serial", layers, serial)


def parallel(*layers: Layer) -> Layer:
    """The sum y = f₁(x) + … + fₙ(x): every layer has the same input, and all have one output shape.

    x is copied to every layer, so dx is the sum of what each sends back; the outputs are summed, so
    dy is copied to every layer. (In control theory, too, systems in parallel add.) Params,
    residuals and dparams are tuples with one entry a layer.

    Raises TypeError if an argument is not a layer, and ValueError if there is none or, from `init`,
    if the layers' outputs differ in shape.
    """
    checks.layers("parallel", layers, at_least=1)

    def init(key: Key, x: Shaped) -> Params:
        keys = jax.random.split(key, len(layers))
        params = tuple(f.init(k, x) for f, k in zip(layers, keys, strict=True))
        outputs = [jax.eval_shape(f.apply, p, x) for f, p in zip(layers, params, strict=True)]
        checks.summands("parallel", [layer.name for layer in layers], outputs)
        return params

    def apply(params: Params, x: Tree) -> Tree:
        return reduce(add, (layer.apply(p, x) for layer, p in zip(layers, params, strict=True)))

    def forward(params: Params, x: Tree, key: Key) -> tuple[Tree, Residuals]:
        each = zip(layers, params, jax.random.split(key, len(layers)), strict=True)
        ys, residuals = zip(*(layer.forward(p, x, k) for layer, p, k in each), strict=True)
        return reduce(add, ys), residuals

    def backward(params: Params, residuals: Residuals, dy: Tree) -> tuple[Params, Tree]:
        each = zip(layers, params, residuals, strict=True)
        dparams, dxs = zip(*(layer.backward(p, r, dy) for layer, p, r in each), strict=True)
        return dparams, None if dxs[0] is None else reduce(add, dxs)

    return Layer(init, apply, forward, backward, "parallel", layers, parallel)


def residual(layer: Layer) -> Layer:
    """The sum y = x + f(x): a layer with a way around it.

    The idea is in the backward pass: dx = dy + Jᵀ dy. Whatever f does to the gradient, dy itself
    comes through untouched, so that in a deep stack the early layers still learn (He et al., "Deep
    residual learning", 2015). Params are those of f.

    Raises TypeError if `layer` is not one, and ValueError, from `init`, if f's output does not have
    its input's shape.
    """
    checks.layers("residual", (layer,))

    def init(key: Key, x: Shaped) -> Params:
        params = layer.init(key, x)
        checks.summands("residual", ["x", layer.name], [x, jax.eval_shape(layer.apply, params, x)])
        return params

    def apply(params: Params, x: Tree) -> Tree:
        return x + layer.apply(params, x)

    def forward(params: Params, x: Tree, key: Key) -> tuple[Tree, Residuals]:
        y, residuals = layer.forward(params, x, key)
        return x + y, residuals

    def backward(params: Params, residuals: Residuals, dy: Tree) -> tuple[Params, Tree]:
        dparams, dx = layer.backward(params, residuals, dy)
        return dparams, dy + dx

    return Layer(init, apply, forward, backward, "residual", (layer,), residual)
