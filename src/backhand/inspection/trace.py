"""What goes through a net and back: each value, and its gradient by hand and by autodiff.

Observers around the layers record what their backward passes hand to one another. Autodiff never
meets a backward of ours: it differentiates the plain forward, by the parameters, by x, and by zeros
that are added wherever a value is made or used.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from backhand.combinators import parallel, residual, serial
from backhand.layer import Array, Key, Layer, Params, Residuals, Tree, map_layers
from backhand.losses import Loss

Path: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[Tree, Tree]  # a gradient by hand, and by autodiff


class Residual(NamedTuple):
    """An array kept for the backward pass, and whether it is the "x" or "y" of what kept it."""

    origin: str | None
    array: Array


class Step(NamedTuple):
    """A place where a value is computed: a layer, or the sum in which branches end.

    Values are numbered: 0 is the net's x, and i, from 1 on, what step i computes of the values
    `inputs`.
    """

    layer: Layer
    path: Path
    inputs: tuple[int, ...]

    @property
    def is_sum(self) -> bool:
        """Whether branches end here: no other combinator is a step that has parts."""
        return self.layer.combine is not None


class Pass(NamedTuple):
    """What went through one step: its params, output and residuals, and the gradients.

    They are those by its params, by its output and by its x. A sum has no params, residuals and dx
    of its own: these are empty.
    """

    params: Params
    y: Array
    residuals: list[Residual]
    dparams: Pair
    dy: Pair
    dx: Pair


class Trace(NamedTuple):
    """A net's graph and all that went through it.

    dprediction is what the loss sends back to value number `last`.
    """

    steps: list[Step]
    passes: list[Pass]
    last: int
    dx: Pair
    value: Array
    residuals: list[Residual]
    dprediction: Pair


def trace(net: Layer, loss: Loss, params: Params, x: Array, y: Array, key: Key) -> Trace:
    """Run the net forward and back on a batch, by hand and by autodiff."""
    net = sealed(net)
    steps, last = steps_of(net)
    origins: dict[Path | None, list[str | None]] = {}

    @jax.jit
    def by_hand(params: Params, x: Array, key: Key) -> Tree:
        ys, kept, dys, dxs = {}, {}, {}, {}

        def observe(path: Path, layer: Layer) -> Layer:
            def forward(p: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
                y, residuals = layer.forward(p, x, key)
                ys[path], kept[path] = y, jax.tree.leaves(residuals)
                origins[path] = _origins(kept[path], x, y)
                return y, residuals

            def backward(p: Params, residuals: Residuals, dy: Array) -> tuple[Params, Array]:
                dparams, dx = layer.backward(p, residuals, dy)
                dys[path], dxs[path] = dy, dx
                return dparams, dx

            return layer._replace(forward=forward, backward=backward)

        observed = map_layers(observe, net)
        prediction, residuals = observed.forward(params, x, key)
        value, loss_residuals = loss.forward(prediction, y)
        dprediction = loss.backward(loss_residuals)
        dparams, _ = observed.backward(params, residuals, dprediction)
        loss_kept = jax.tree.leaves(loss_residuals)
        origins[None] = _origins(loss_kept, prediction, y)
        return value, dparams, dprediction, loss_kept, ys, kept, dys, dxs

    once_more = jax.random.clone(key)
    value, dparams, dprediction, loss_kept, ys, kept, dys, dxs = by_hand(params, x, key)
    for step in steps:
        if not isinstance(ys[step.path], Array):
            wanted = f"the output of {step.layer.name} should be an array"
            raise TypeError(f"explain: {wanted}, got {type(ys[step.path]).__name__}")
    values = [x, *(ys[step.path] for step in steps)]
    used = {s.path: jnp.zeros_like(values[s.inputs[0]]) for s in steps if not s.is_sum}
    made = {s.path: jnp.zeros_like(ys[s.path]) for s in steps}

    @jax.jit
    @jax.grad
    def by_autodiff(variables: tuple[Params, Array, Tree, Tree], key: Key) -> Array:
        params, x, used, made = variables

        def probe(path: Path, layer: Layer) -> Layer:
            def forward(p: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
                y, residuals = layer.forward(p, x + used[path] if path in used else x, key)
                return y + made[path], residuals

            return layer._replace(forward=forward) if path in made else layer

        prediction, _ = map_layers(probe, net).forward(params, x, key)
        return loss.forward(prediction, y)[0]

    auto_dparams, auto_dx, auto_dxs, auto_dys = by_autodiff((params, x, used, made), once_more)

    def passed(step: Step) -> Pass:
        path, empty = step.path, step.is_sum
        return Pass(
            params=part(net, params, path),
            y=ys[path],
            residuals=[] if empty else list(map(Residual, origins[path], kept[path])),
            dparams=(part(net, dparams, path), part(net, auto_dparams, path)),
            dy=(dys[path], auto_dys[path]),
            dx=((), ()) if empty else (dxs[path], auto_dxs[path]),
        )

    passes = [passed(step) for step in steps]
    dx = dxs[()], auto_dx
    end = passes[last - 1].dy if last else dx
    residuals = list(map(Residual, origins[None], loss_kept))
    return Trace(steps, passes, last, dx, value, residuals, (dprediction, end[1]))


def sealed(net: Layer) -> Layer:
    """The net, with combinators other than serial, parallel and residual as layers without parts.

    One of these three whose functions were replaced is sealed, too: `combine` would make it again
    without the replacements.
    """
    if net.combine not in (serial, parallel, residual):
        return net._replace(parts=(), combine=None)
    again = net.combine(*net.parts)
    for f, g in zip(net[:4], again[:4], strict=True):
        if getattr(f, "__code__", f) is not getattr(g, "__code__", None):
            return net._replace(parts=(), combine=None)
    return net.combine(*map(sealed, net.parts))


def steps_of(net: Layer) -> tuple[list[Step], int]:
    """A sealed net's steps, in the order of computing, and the number of its output's value."""
    steps: list[Step] = []

    def walk(layer: Layer, path: Path, source: int) -> int:
        if layer.combine is serial:
            for i, inner in enumerate(layer.parts):
                source = walk(inner, (*path, i), source)
            return source
        ends = [walk(inner, (*path, i), source) for i, inner in enumerate(layer.parts)]
        around = [] if layer.combine is parallel else [source]
        steps.append(Step(layer, path, (*around, *ends)))
        return len(steps)

    return steps, walk(net, (), 0)


def part(net: Layer, tree: Params, path: Path) -> Params:
    """A sealed net's params, or their gradients, at `path`; nothing if a sum is there."""
    for i in path:
        tree = tree if net.combine is residual else tree[i]
        net = net.parts[i]
    return tree if net.combine is None else ()


def _origins(arrays: list[Array], x: Array, y: Array) -> list[str | None]:
    return ["x" if a is x else "y" if a is y else None for a in arrays]
