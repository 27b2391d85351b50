"""A net as a table."""

import jax

from backhand import checks
from backhand.layer import Layer, Params, Shaped, Tree, map_layers


def summary(net: Layer, x: Shaped) -> str:
    """A table of the net's layers: output shapes, parameter counts and bytes, for inputs like x.

    x is an array or a ShapeDtypeStruct (batch, …); nothing is computed. A combinator's parts stand
    indented below it, and its row has the totals. Raises TypeError or ValueError if `net` is not a
    Layer or x does not suit it.
    """
    checks.net("summary", "net", net)
    checks.array("summary", "x", x)
    checks.kept("summary", "x", x)
    seen: dict[tuple[int, ...], tuple[str, Params, Tree]] = {}

    def observe(path: tuple[int, ...], layer: Layer) -> Layer:
        def apply(params: Params, x: Tree) -> Tree:
            y = layer.apply(params, x)
            seen[path] = layer.name, params, y
            return y

        return layer._replace(apply=apply)

    observed, key = map_layers(observe, net), jax.random.key(0)
    x = jax.ShapeDtypeStruct(x.shape, x.dtype)
    jax.eval_shape(lambda key, x: observed.apply(net.init(key, x), x), key, x)

    rows = [("layer", "output", "parameters", "bytes")]
    for path, (name, params, y) in sorted(seen.items()):
        leaves, output = jax.tree.leaves(params), jax.tree.leaves(y)
        shapes = " ".join(f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for leaf in output)
        count = sum(leaf.size for leaf in leaves)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        rows.append(("  " * len(path) + name, shapes, f"{count:,}", f"{size:,}"))
    a, b, c, d = (max(len(row[i]) for row in rows) for i in range(4))
    lines = [f"{row[0]:<{a}}  {row[1]:<{b}}  {row[2]:>{c}}  {row[3]:>{d}}" for row in rows]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])
