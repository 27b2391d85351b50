"""What goes through a net and back: each value, and its gradient by hand and by autodiff.

What the layers' backward passes hand to one another is overheard, by wrapping each layer in an observer.
Autodiff never meets a backward of ours: it differentiates the plain forward, by the parameters, by x, and
by zeros that are added wherever a value is made or used.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from backhand.combinators import parallel, residual, serial
from backhand.layer import Layer, Params, map_layers
from backhand.losses import Loss

Path: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[Any, Any]  # a gradient by hand, and by autodiff


class Residual(NamedTuple):
    """An array kept for the backward pass: which one, if it is the "x" or the "y" of what kept it, or None."""

    origin: str | None
    array: Any


class Step(NamedTuple):
    """A place where a value is computed: a layer, or the sum in which branches end.

    Values are numbered: 0 is the net's x, and i, from 1 on, what step i computes of the values `inputs`.
    """

    layer: Layer
    path: Path
    inputs: tuple[int, ...]

    @property
    def is_sum(self) -> bool:
        """Whether branches end here: every other combinator is no step, or not looked into."""
        return self.layer.combine is not None


class Pass(NamedTuple):
    """What went through one step: its params, output and residuals, and the gradients by them and by its x.

    Of a sum, params and residuals are those of its branches, and dx is not of any one of its terms: all are empty.
    """

    params: Params
    y: Any
    residuals: list[Residual]
    dparams: Pair
    dy: Pair
    dx: Pair


class Trace(NamedTuple):
    """A net's graph and all that went through it; dprediction is what the loss sends back to value `last`."""

    steps: list[Step]
    passes: list[Pass]
    last: int
    x: Any
    dx: Pair
    value: Any
    residuals: list[Residual]
    dprediction: Pair


def trace(net: Layer, loss: Loss, params: Params, x: Any, y: Any, key: jax.Array) -> Trace:
    """Run the net forward and back on a batch, by hand and by autodiff."""
    net = sealed(net)
    steps, last = steps_of(net)
    origins: dict[Path | None, list[str | None]] = {}

    @jax.jit
    def by_hand(params: Params, x: Any, key: jax.Array) -> Any:
        ys, kept, dys, dxs = {}, {}, {}, {}

        def observe(path: Path, layer: Layer) -> Layer:
            def forward(p: Params, x: Any, key: jax.Array) -> Any:
                y, residuals = layer.forward(p, x, key)
                ys[path], kept[path] = y, jax.tree.leaves(residuals)
                origins[path] = _origins(kept[path], x, y)
                return y, residuals

            def backward(p: Params, residuals: Any, dy: Any) -> Any:
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

    value, dparams, dprediction, loss_kept, ys, kept, dys, dxs = by_hand(params, x, jax.random.clone(key))
    for step in steps:
        if not isinstance(ys[step.path], jax.Array):
            raise TypeError(
                f"explain: the output of {step.layer.name} should be an array, got {type(ys[step.path]).__name__}"
            )
    values = [x, *(ys[step.path] for step in steps)]
    used = {step.path: jnp.zeros_like(values[step.inputs[0]]) for step in steps if not step.is_sum}
    made = {step.path: jnp.zeros_like(ys[step.path]) for step in steps}

    @jax.jit
    @jax.grad
    def by_autodiff(variables: tuple[Params, Any, Any, Any], key: jax.Array) -> Any:
        params, x, used, made = variables

        def probe(path: Path, layer: Layer) -> Layer:
            def forward(p: Params, x: Any, key: jax.Array) -> Any:
                y, residuals = layer.forward(p, x + used[path] if path in used else x, key)
                return y + made[path], residuals

            return layer._replace(forward=forward) if path in made else layer

        prediction, _ = map_layers(probe, net).forward(params, x, key)
        return loss.forward(prediction, y)[0]

    auto_dparams, auto_dx, auto_dxs, auto_dys = by_autodiff((params, x, used, made), jax.random.clone(key))

    passes = [
        Pass(
            params=part(net, params, step.path),
            y=ys[step.path],
            residuals=[] if step.is_sum else list(map(Residual, origins[step.path], kept[step.path])),
            dparams=(part(net, dparams, step.path), part(net, auto_dparams, step.path)),
            dy=(dys[step.path], auto_dys[step.path]),
            dx=(dxs[step.path], auto_dxs[step.path]) if not step.is_sum else ((), ()),
        )
        for step in steps
    ]
    dx = dxs[()], auto_dx
    end = passes[last - 1].dy if last else dx
    residuals = list(map(Residual, origins[None], loss_kept))
    return Trace(steps, passes, last, x, dx, value, residuals, (dprediction, end[1]))


def sealed(net: Layer) -> Layer:
    """The net, with combinators other than serial, parallel and residual as layers without parts.

    So is one of these whose functions were replaced: `combine` would make it again without the replacements.
    """
    if net.combine not in (serial, parallel, residual):
        return net._replace(parts=(), combine=None)
    again = net.combine(*net.parts)
    if any(
        getattr(f, "__code__", f) is not getattr(g, "__code__", None)
        for f, g in zip(net[:4], again[:4], strict=True)
    ):
        return net._replace(parts=(), combine=None)
    return net.combine(*map(sealed, net.parts))


def steps_of(net: Layer) -> tuple[list[Step], int]:
    """A sealed net's steps, in the order of computing, and the number of the value that is its output."""
    steps: list[Step] = []

    def walk(layer: Layer, path: Path, source: int) -> int:
        if layer.combine is serial:
            for i, layer_part in enumerate(layer.parts):
                source = walk(layer_part, (*path, i), source)
            return source
        ends = [walk(layer_part, (*path, i), source) for i, layer_part in enumerate(layer.parts)]
        steps.append(Step(layer, path, (*((source,) if layer.combine is not parallel else ()), *ends)))
        return len(steps)

    return steps, walk(net, (), 0)


def part(net: Layer, tree: Any, path: Path) -> Any:
    """What a sealed net's params, or their gradients, hold of the part at `path`; nothing where it is a sum."""
    for i in path:
        tree = tree if net.combine is residual else tree[i]
        net = net.parts[i]
    return tree if net.combine is None else ()


def _origins(arrays: list[Any], x: Any, y: Any) -> list[str | None]:
    return ["x" if a is x else "y" if a is y else None for a in arrays]
