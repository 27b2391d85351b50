"""A net as a table."""

import jax

from backhand import checks
from backhand.layer import Key, Layer, Params, Shaped, Tree, map_layers


def summary(net: Layer, x: Shaped) -> str:
    """A table of the net's layers: output shapes, parameter counts and bytes, for inputs like x.

    x is an array or a ShapeDtypeStruct (batch, …); nothing is computed. A combinator's parts stand
    indented below it, and its row has the totals. Raises TypeError or ValueError if `net` is not a
    Layer or x does not suit it.
    """
    checks.net("summary", "net", net)
    checks.array("summary", "x", x)
    checks.kept("summary", "x", x)
    names: dict[tuple[int, ...], str] = {}
    params: dict[tuple[int, ...], Params] = {}
    outputs: dict[tuple[int, ...], Tree] = {}

    def observe(path: tuple[int, ...], layer: Layer) -> Layer:
        names[path] = layer.name

        def init(key: Key, x: Shaped) -> Params:
            params[path] = layer.init(key, x)
            return params[path]

        def apply(p: Params, x: Tree) -> Tree:
            outputs[path] = layer.apply(p, x)
            return outputs[path]

        return layer._replace(init=init, apply=apply)

    observed, key = map_layers(observe, net), jax.random.key(0)
    x = jax.ShapeDtypeStruct(x.shape, x.dtype)
    jax.eval_shape(lambda key, x: observed.apply(observed.init(key, x), x), key, x)

    rows = [("layer", "output", "parameters", "bytes")]
    for path in sorted(names):
        leaves, output = jax.tree.leaves(params[path]), jax.tree.leaves(outputs[path])
        shapes = " ".join(f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for leaf in output)
        count = sum(leaf.size for leaf in leaves)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        rows.append(("  " * len(path) + names[path], shapes, f"{count:,}", f"{size:,}"))
    a, b, c, d = (max(len(row[i]) for row in rows) for i in range(4))
    lines = [f"{row[0]:<{a}}  {row[1]:<{b}}  {row[2]:>{c}}  {row[3]:>{d}}" for row in rows]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])
