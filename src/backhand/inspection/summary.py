"""A net as a table."""

from typing import Any

import jax

from backhand import checks
from backhand.layer import Layer, Params, map_layers


def summary(net: Layer, x: Any) -> str:
    """A table of the net's layers with output shapes, parameter counts and bytes, for inputs like x.

    x is an array or a ShapeDtypeStruct (batch, …); nothing is computed. What a combinator is made of
    stands indented below it, and its row holds the totals. Raises TypeError or ValueError where `net` is
    not a Layer or x does not suit it.
    """
    checks.net("summary", net)
    checks.array("x", x, "summary")
    checks.floating("x", x, "summary")
    names: dict[tuple[int, ...], str] = {}
    params: dict[tuple[int, ...], Params] = {}
    outputs: dict[tuple[int, ...], Any] = {}

    def observe(path: tuple[int, ...], layer: Layer) -> Layer:
        names[path] = layer.name

        def init(key: jax.Array, x: Any) -> Params:
            params[path] = layer.init(key, x)
            return params[path]

        def apply(p: Params, x: Any) -> Any:
            outputs[path] = layer.apply(p, x)
            return outputs[path]

        return layer._replace(init=init, apply=apply)

    observed = map_layers(observe, net)
    x = jax.ShapeDtypeStruct(x.shape, x.dtype)
    jax.eval_shape(lambda key, x: observed.apply(observed.init(key, x), x), jax.random.key(0), x)

    rows = [("layer", "output", "parameters", "bytes")]
    for path in sorted(names):
        leaves = jax.tree.leaves(params[path])
        count = sum(leaf.size for leaf in leaves)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        rows.append(("  " * len(path) + names[path], _shape(outputs[path]), f"{count:,}", f"{size:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows]
    lines.insert(1, "─" * len(lines[0]))
    return "\n".join(lines)


def _shape(output: Any) -> str:
    return " ".join(f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for leaf in jax.tree.leaves(output))
