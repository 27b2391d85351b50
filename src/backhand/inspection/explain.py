"""From a trace to nodes: names, formulas, and what each place sends back."""

from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.inspection import rules
from backhand.inspection.nodes import Explanation, Gradient, Kept, Node, Share, norm
from backhand.inspection.trace import Pair, Pass, Residual, Step, Trace, trace
from backhand.layer import Layer, Params
from backhand.losses import Loss


def explain(
    net: Layer, loss: Loss, params: Params, x: Any, y: Any, key: jax.Array | None = None
) -> Explanation:
    """The computational graph of the net's loss on one batch, each gradient by hand beside autodiff's.

    Args:
      net, loss: what is to be trained.
      params: the net's parameters, from `net.init`.
      x: the batch (examples, …), floating.
      y: its targets, as the loss wants them.
      key: for layers that draw at random in training; `jax.random.key(0)` where none is given.

    Returns:
      An `Explanation`. Its nodes are x, each layer's parameters and its output, and the loss, L. serial,
      parallel and residual are looked into: the values inside them are nodes, too, and so are the sums they
      end in. Any other combinator counts as one layer. A value's gradient is what was handed to the
      backward of the layer that made it; where the value was copied to several places, that is the sum
      of what they sent back. In float64, right gradients agree with autodiff's to 1e-12. (A forward that is
      itself a `jax.custom_vjp` is compared with its own rule. At a kink the two may take different sides:
      where a prediction is exactly its target, absolute_error's derivative is 0 by hand, and 1/N by JAX.)

    Raises TypeError or ValueError where net is not a Layer, loss not a Loss, x or y not what they take, params
    not the net's, key not a typed key, a layer's output not an array, or a backward's dparams not of the
    structure of its params; and TypeError inside jax.jit, jax.grad or jax.vmap, where there are no values to show.
    """
    _check(net, loss, params, x, y, key)
    key = jax.random.key(0) if key is None else key
    params, x, y = jax.tree.map(jnp.asarray, (params, x, y))
    traced = trace(net, loss, params, x, y, key)
    places = _places(traced)
    values = ["x", *(place.names["y"] for place in places)]
    shares: list[list[Share]] = [[] for _ in values]

    # From the loss backwards, as the gradients go: at each value, all that is sent back to it has come.
    rule, names = rules.loss_rule(loss), {"x": values[traced.last], "y": "y"}
    shares[traced.last].append(_share("L", rule.back["x"], names, traced.dprediction, 1.0))
    one = np.ones_like(traced.value)
    nodes = [
        Node(
            name="L",
            kind="loss",
            layer="the loss",
            path=(),
            inputs=(names["x"],),
            formula=rules.fill(f"L = {rule.forward.symbols}", names),
            words=rules.fill(rule.forward.words, names),
            value=np.asarray(traced.value),
            kept=_kept(traced.residuals, rule, names),
            shares=(),
            gradient=Gradient(one, one, 1.0),
        )
    ]
    for place in reversed(places):
        step, passed, rule, name = place.step, place.passed, place.rule, place.names["y"]
        inputs = tuple(values[i] for i in step.inputs)
        names = place.names | {"x": " + ".join(inputs)}
        sent = tuple(shares[values.index(name)])
        nodes.append(
            Node(
                name=name,
                kind="value",
                layer=step.layer.name,
                path=step.path,
                inputs=(*inputs, *(names[leaf] for leaf in place.leaves)),
                formula=rules.fill(f"{name} = {rule.forward.symbols}", names),
                words=rules.fill(rule.forward.words, names),
                value=np.asarray(passed.y),
                kept=_kept(passed.residuals, rule, names),
                shares=sent,
                gradient=_gradient(passed.dy, sent),
            )
        )
        came = norm(passed.dy[1])
        for leaf, value, by_hand, by_autodiff in place.parameters[::-1]:
            share = _share(name, rule.back[leaf], names, (by_hand, by_autodiff), came)
            nodes.append(
                Node(
                    name=names[leaf],
                    kind="parameter",
                    layer=step.layer.name,
                    path=step.path,
                    inputs=(),
                    formula=names[leaf],
                    words=f"a parameter of {step.layer.name}",
                    value=value,
                    kept=(),
                    shares=(share,),
                    gradient=share.gradient,
                )
            )
        for i in step.inputs:
            pair = passed.dy if step.is_sum else passed.dx
            shares[i].append(_share(name, rule.back["x"], names, pair, came))
    sent = tuple(shares[0])
    nodes.append(
        Node(
            name="x",
            kind="input",
            layer="",
            path=(),
            inputs=(),
            formula="x",
            words="the batch, a row an example",
            value=np.asarray(x),
            kept=(),
            shares=sent,
            gradient=_gradient(traced.dx, sent),
        )
    )
    return Explanation(tuple(reversed(nodes)))


class Place(NamedTuple):
    """A step with its pass, the rule that explains it, and names for what the rule speaks of."""

    step: Step
    passed: Pass
    rule: rules.Rule
    leaves: tuple[str, ...]
    names: dict[str, str]

    @property
    def parameters(self) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """The leaf's name in the rule, its value, and its gradient by hand and by autodiff, of every parameter."""
        trees = (self.passed.params, *self.passed.dparams)
        arrays = ([np.asarray(leaf) for leaf in jax.tree.leaves(tree)] for tree in trees)
        return list(zip(self.leaves, *arrays, strict=True))


def _places(traced: Trace) -> list[Place]:
    """All steps, named in the order of computing: a letter that several share gets a number."""
    found, letters = [], []
    for step, passed in zip(traced.steps, traced.passes, strict=True):
        wanted, got = (str(jax.tree.structure(tree)) for tree in (passed.params, passed.dparams[0]))
        if wanted != got:
            raise ValueError(
                f"explain: the backward of {step.layer.name} should return dparams of the structure of its params, "
                f"{wanted}, got {got}"
            )
        paths, _ = jax.tree_util.tree_flatten_with_path(passed.params)
        leaves = tuple(jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths)
        # A dot before it keeps a parameter apart from what a rule calls by that name.
        leaves = tuple(f".{leaf}" if leaf in {"x", "y", "dy", "arg"} else leaf for leaf in leaves)
        rule = rules.SUM if step.is_sum else rules.layer_rule(step.layer, leaves)
        found.append((step, passed, rule, leaves))
        letters += [*map(_letter, leaves), rule.letter]

    total, seen = Counter(letters), Counter[str]()

    def name(letter: str) -> str:
        seen[letter] += 1
        return letter + (str(seen[letter]).translate(SUBSCRIPTS) if total[letter] > 1 else "")

    places = []
    for step, passed, rule, leaves in found:
        names = {leaf: name(_letter(leaf)) for leaf in leaves} | {"y": name(rule.letter)}
        names |= {"dy": f"d{names['y']}", "arg": step.layer.name.partition("(")[2].removesuffix(")")}
        places.append(Place(step, passed, rule, leaves, names))
    return places


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _letter(leaf: str) -> str:
    """What a parameter is called: by the last word of its path in params, or θ where that is none, or taken."""
    word = leaf.rpartition(".")[2]
    return word if word.isidentifier() and word not in {"x", "y", "L", "N", "Y"} else "θ"


def _share(source: str, back: rules.Words, names: dict[str, str], pair: Pair, came: float) -> Share:
    by_hand, by_autodiff = map(np.asarray, pair)
    symbols, words = (rules.fill(said, names) for said in back)
    return Share(source, symbols, words, Gradient(by_hand, by_autodiff, came))


def _gradient(pair: Pair, shares: tuple[Share, ...]) -> Gradient:
    by_hand, by_autodiff = map(np.asarray, pair)
    return Gradient(by_hand, by_autodiff, max((share.gradient.came for share in shares), default=0.0))


def _kept(residuals: list[Residual], rule: rules.Rule, names: dict[str, str]) -> tuple[Kept, ...]:
    said = rule.keeps if len(rule.keeps) == len(residuals) else [""] * len(residuals)
    return tuple(
        Kept(
            names[origin] if origin else rules.fill(symbols, names),
            origin is not None,
            array.shape,
            str(array.dtype),
            array.nbytes,
        )
        for (origin, array), symbols in zip(residuals, said, strict=True)
    )


def _check(net: Any, loss: Any, params: Any, x: Any, y: Any, key: Any) -> None:
    checks.net("explain", net)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, x, y, key))):
        raise TypeError(
            "explain: params, x, y and key should be arrays with values to show, got a tracer; call explain "
            "outside jax.jit, jax.grad and jax.vmap"
        )
    checks.loss("explain", loss)
    checks.examples("x", x, "explain")
    checks.array("y", y, "explain")
    checks.batch("explain", x, y)
    if key is not None:
        checks.key("explain", key)
    checks.params("explain", net, params, "x", x)
    checks.target("explain", "y", loss, net.apply(params, x), y)
