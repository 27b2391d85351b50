"""From a trace to nodes: names, formulas, and what each place sends back."""

from collections import Counter
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.inspection import formulas
from backhand.inspection.formulas import Rule, Words
from backhand.inspection.nodes import Explanation, Gradient, Node, Share, form, norm
from backhand.inspection.trace import LOSS, Pair, Step, trace
from backhand.layer import HostOrDevice, Layer, Params
from backhand.losses import Loss

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class _NetAndLoss(Protocol):  # what `explain` needs of a `Training`
    @property
    def net(self) -> Layer: ...

    @property
    def loss(self) -> Loss: ...


def explain(training: _NetAndLoss, params: Params, x: HostOrDevice, y: HostOrDevice) -> Explanation:
    """The computational graph of a net's loss on one batch, each gradient by hand and by autodiff.

    Args:
      training: what is trained; its net and its loss are explained.
      params: the net's parameters.
      x: the batch (examples, …), floating.
      y: its targets, as the loss wants them.

    Returns:
      An `Explanation`. Its nodes are x, each layer's parameters and its output, and the loss, L.
      serial, parallel and residual are looked into: the values inside them are nodes, too, and so
      are the sums they end in. Any other combinator counts as one layer. A value's gradient is what
      was handed to the backward of the layer that made it; if the value was copied to several
      places, that is the sum of what they sent back. In float64, right gradients agree with
      autodiff's to 1e-12. (A forward that is itself a `jax.custom_vjp` is compared with its own
      rule. At a kink the two may take different sides: where a prediction is exactly its target,
      absolute_error's derivative is 0 by hand, and 1/N by JAX. What is drawn at random in training
      is drawn from `jax.random.key(0)`.)

    Raises TypeError or ValueError if training has no net and loss, x or y is not what they take,
    params are not the net's, a layer's output is not an array, or a backward's dparams do not have
    the structure of its params; and TypeError inside jax.jit, jax.grad or jax.vmap, where there are
    no values to show.
    """
    _check(training, params, x, y)
    params, x, y = jax.tree.map(jnp.asarray, params), jnp.asarray(x), jnp.asarray(y)
    steps, dx = trace(training.net, training.loss, params, x, y)
    places = _places(steps)
    values = ["x", *(place.name for place in places)]
    shares: dict[str, list[Share]] = {name: [] for name in values}
    nodes = []
    # From the loss backwards, as the gradients go: a value is met when all its shares are in.
    for step, rule, name, leaves, names in reversed(places):
        inputs, sent = tuple(values[i] for i in step.inputs), tuple(shares[name])
        names = names | {"x": " + ".join(inputs)}
        formula, words = rule.forward.named(names)
        node = Node(
            name=name,
            kind="loss" if step.path == LOSS else "value",
            formula=f"{name} = {formula}",
            words=words,
            value=np.asarray(step.y),
            gradient=_gradient(step.dy, sent),
            shares=sent,
            layer=step.name,
            path=step.path if step.path != LOSS else (),
            inputs=(*inputs, *(names[leaf] for leaf in leaves)),
            kept=_kept(step, rule, names),
        )
        nodes.append(node)
        came = norm(step.dy[1])
        columns = (jax.tree.leaves(tree) for tree in (step.params, *step.dparams))
        for leaf, value, *pair in reversed(list(zip(leaves, *columns, strict=True))):
            share = _share(name, rule.back[leaf].named(names), pair, came)
            said, a = (names[leaf], f"a parameter of {step.name}"), np.asarray(value)
            node = Node(names[leaf], "parameter", *said, a, share.gradient, (share,))
            nodes.append(node._replace(layer=step.name, path=step.path))
        for i in step.inputs:
            shares[values[i]].append(_share(name, rule.back["x"].named(names), step.dx, came))
    sent, said = tuple(shares["x"]), ("x", "the batch, a row an example")
    nodes.append(Node("x", "input", *said, np.asarray(x), _gradient(dx, sent), sent))
    return Explanation(tuple(reversed(nodes)))


class Place(NamedTuple):
    """A step, the rule that explains it, and names for what the rule speaks of."""

    step: Step
    rule: Rule
    name: str
    leaves: tuple[str, ...]  # the parameters, by their names in the rule
    names: dict[str, str]


def _places(steps: list[Step]) -> list[Place]:
    """All steps, named in the order of computing: a letter that several share gets a number."""
    found, letters = [], []
    for step in steps:
        wanted, got = (str(jax.tree.structure(t)) for t in (step.params, step.dparams[0]))
        if wanted != got:
            raise ValueError(
                f"explain: the backward of {step.name} should return dparams of the "
                f"structure of its params, {wanted}, got {got}"
            )
        paths, _ = jax.tree_util.tree_flatten_with_path(step.params)
        leaves = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths)
        # A dot before it keeps a parameter apart from what a rule calls by that name.
        own = tuple(f".{leaf}" if leaf in {"x", "y", "dy", "arg"} else leaf for leaf in leaves)
        rule = formulas.SUM if step.is_sum else formulas.rule_of(step.layer, own)
        found.append((step, rule, own))
        letters += [*map(_letter, own), rule.letter]

    total, seen = Counter(letters), Counter[str]()

    def name(letter: str) -> str:
        seen[letter] += 1
        return letter + (str(seen[letter]).translate(SUBSCRIPTS) if total[letter] > 1 else "")

    places = []
    for step, rule, own in found:
        names = {leaf: name(_letter(leaf)) for leaf in own}
        y = name(rule.letter)
        names |= {"y": "y" if step.path == LOSS else y, "dy": f"d{y}"}
        names["arg"] = step.name.partition("(")[2].removesuffix(")")
        places.append(Place(step, rule, y, own, names))
    return places


def _letter(leaf: str) -> str:
    """What a parameter is called: the last word of its path in params.

    θ if that is not a word, or taken.
    """
    word = leaf.rpartition(".")[2]
    return word if word.isidentifier() and word not in {"x", "y", "L", "N", "Y"} else "θ"


def _share(source: str, back: Words, pair: Pair, came: float) -> Share:
    by_hand, autodiff = map(np.asarray, pair)
    return Share(source, back.symbols, back.words, Gradient(by_hand, autodiff, came))


def _gradient(pair: Pair, shares: tuple[Share, ...]) -> Gradient:
    by_hand, autodiff = map(np.asarray, pair)
    came = max((share.gradient.came for share in shares), default=0.0)
    return Gradient(by_hand, autodiff, came)


def _kept(step: Step, rule: Rule, names: dict[str, str]) -> tuple[str, ...]:
    """What the step keeps: a node's value, which is kept anyway, or an array and its bytes."""
    symbols = rule.keeps if len(rule.keeps) == len(step.residuals) else [""] * len(step.residuals)
    kept = []
    for (origin, a), template in zip(step.residuals, symbols, strict=True):
        said = formulas.fill(template, names) or f"{a.dtype} {form(a.shape)}"
        kept.append(names[origin] if origin else f"{said} ({a.nbytes:,} B)")
    return tuple(kept)


def _check(training: _NetAndLoss, params: Params, x: HostOrDevice, y: HostOrDevice) -> None:
    if not hasattr(training, "net") or not hasattr(training, "loss"):
        wanted = "a Training, with a net and a loss"
        raise TypeError(f"explain: training should be {wanted}, got {training!r}")
    checks.net("explain", "training.net", training.net)
    checks.loss("explain", "training.loss", training.loss)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, x, y))):
        raise TypeError(
            "explain: params, x and y should be arrays with values to show, got a tracer; "
            "call explain outside jax.jit, jax.grad and jax.vmap"
        )
    checks.examples("explain", "x", x)
    checks.floating("explain", "x", x)
    checks.batch("explain", x, y)
    checks.params("explain", "x", x, training.net, params)
    checks.target("explain", "y", training.loss, training.net.apply(params, x), y)
