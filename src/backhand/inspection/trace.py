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
LOSS = (-1,)  # the path of the loss, which is not in the net


class Step(NamedTuple):
    """A place where a value is computed: a layer, the sum in which branches end, or the loss.

    Values are numbered: 0 is the net's x, and i, from 1 on, what step i computes. A sum has no
    params and keeps nothing.
    """

    layer: Layer | Loss
    path: Path
    inputs: tuple[int, ...]  # the values that it takes
    params: Params = ()
    y: Tree = ()
    # What is kept for the backward, and whether it is the "x" or "y" of what keeps it.
    residuals: tuple[tuple[str | None, Array], ...] = ()
    dparams: Pair = ((), ())
    dy: Pair = ((), ())
    dx: Pair = ((), ())

    @property
    def name(self) -> str:
        """What computes the value."""
        return "the loss" if isinstance(self.layer, Loss) else self.layer.name

    @property
    def is_sum(self) -> bool:
        """Whether branches end here: no other combinator is a step that has parts."""
        return isinstance(self.layer, Layer) and self.layer.combine is not None


def trace(net: Layer, loss: Loss, params: Params, x: Array, y: Array) -> tuple[list[Step], Pair]:
    """Run the net and the loss forward and back on a batch, by hand and by autodiff.

    Returns all steps, the loss last, and the gradient by x.
    """
    net = sealed(net)
    steps, last = steps_of(net)
    steps.append(Step(loss, LOSS, (last,)))
    origins: dict[Path, list[str | None]] = {}

    @jax.jit
    def by_hand(params: Params, x: Array, key: Key) -> Tree:
        ys, kept, dys, dxs = {}, {}, {}, {}

        def keep(path: Path, x: Array, y: Array, value: Array, residuals: Residuals) -> None:
            ys[path], kept[path] = value, jax.tree.leaves(residuals)
            origins[path] = ["x" if a is x else "y" if a is y else None for a in kept[path]]

        def observe(path: Path, layer: Layer) -> Layer:
            def forward(p: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
                y, residuals = layer.forward(p, x, key)
                keep(path, x, y, y, residuals)
                return y, residuals

            def backward(p: Params, residuals: Residuals, dy: Array) -> tuple[Params, Array]:
                dparams, dx = layer.backward(p, residuals, dy)
                dys[path], dxs[path] = dy, dx
                return dparams, dx

            return layer._replace(forward=forward, backward=backward)

        observed = map_layers(observe, net)
        prediction, residuals = observed.forward(params, x, key)
        value, loss_residuals = loss.forward(prediction, y)
        keep(LOSS, prediction, y, value, loss_residuals)
        dys[LOSS], dxs[LOSS] = jnp.ones_like(value), loss.backward(loss_residuals)
        dparams, _ = observed.backward(params, residuals, dxs[LOSS])
        return dparams, ys, kept, dys, dxs

    dparams, ys, kept, dys, dxs = by_hand(params, x, jax.random.key(0))
    for step in steps:
        if not isinstance(ys[step.path], Array):
            wanted = f"the output of {step.name} should be an array"
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
        value, _ = loss.forward(prediction + used[LOSS], y)
        return jnp.add(value, made[LOSS])

    auto_dparams, auto_dx, auto_dxs, auto_dys = by_autodiff(
        (params, x, used, made), jax.random.key(0)
    )

    def passed(step: Step) -> Step:
        path, dy = step.path, (dys[step.path], auto_dys[step.path])
        if step.is_sum:
            return step._replace(y=ys[path], dy=dy, dx=dy)
        return step._replace(
            params=part(net, params, path),
            y=ys[path],
            residuals=tuple(zip(origins[path], kept[path], strict=True)),
            dparams=(part(net, dparams, path), part(net, auto_dparams, path)),
            dy=dy,
            dx=(dxs[path], auto_dxs[path]),
        )

    return [passed(step) for step in steps], (dxs[()], auto_dx)


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
    """A sealed net's params, or their gradients, at `path`; nothing for the loss."""
    if path == LOSS:
        return ()
    for i in path:
        tree = tree if net.combine is residual else tree[i]
        net = net.parts[i]
    return tree
