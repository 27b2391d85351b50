"""Wrong backward passes, made from right ones: what a checker of backward passes must catch.

A mutation changes one leaf of a right gradient (or what backward is given) the way people do it by
mistake. Each is planted in every catalogue entry where it makes sense. Some mutants are none: on
that entry the mutation changes nothing. These are found by comparing with the right backward, in
float64, and not counted. (DeMillo, Lipton and Sayward, "Hints on test data selection", 1978.)
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from backhand.interop import as_custom_vjp
from backhand.layer import Array, Key, Layer, Params, Residuals, Tree, parameterless
from backhand.losses import Loss
from backhand.verify.cases import Case, normal_like
from backhand.verify.catalogue import Entry
from backhand.verify.comparisons import compare
from backhand.verify.edges import edge_inputs
from backhand.verify.subjects import as_subject, cast, flatten

Rule: TypeAlias = Layer | Loss
Change: TypeAlias = Callable[[Array, Array], Array]  # (gradient, dy) -> wrong gradient


class Mutation(NamedTuple):
    """A way to get one leaf of a gradient wrong."""

    kind: str
    change: Change
    named: tuple[str, ...]  # the diagnoses that name it; none if it is none of the usual mistakes
    fits: Callable[[Array], bool] = lambda g: True  # whether it makes sense for leaves of g's form


class Mutant(NamedTuple):
    """A wrong subject, what it was made from, and which diagnoses name what was done."""

    name: str
    kind: str
    named: tuple[str, ...]
    original: Rule
    subject: Rule
    inputs: tuple[np.ndarray, ...]


def _has_rows(g: Array) -> bool:
    return g.ndim > 0 and g.shape[0] > 1


def _is_wide(g: Array) -> bool:
    return g.ndim > 0 and g.shape[-1] > 1


def _alternate(g: Array, _: Array) -> Array:
    even = jnp.arange(g.size).reshape(g.shape) % 2 == 0
    return jnp.where(even, 1.1 * g, g)


def _row_sum(g: Array, _: Array) -> Array:
    return jnp.broadcast_to(g.sum(-1, keepdims=True), g.shape)


def _too_much(g: Array, _: Array) -> Array:
    return jnp.add(g, 0.1 * jnp.abs(g).max(-1, keepdims=True))


ROW, CAST = ("missing row term",), ("cast too early",)
MUTATIONS = (
    Mutation("wrong sign", lambda g, dy: -g, ("wrong sign",)),
    Mutation("sum for mean", lambda g, dy: g * len(dy), ("sum for mean",)),
    Mutation("mean for sum", lambda g, dy: g / len(dy), ("mean for sum",)),
    Mutation("factor 2", lambda g, dy: 2 * g, ("factor 2",)),
    Mutation("factor ½", lambda g, dy: g / 2, ("factor ½",)),
    Mutation("1 % too large", lambda g, dy: 1.01 * g, ("factor",)),
    Mutation("0.01 % too small", lambda g, dy: 0.9999 * g, ("factor",)),
    Mutation("zeroed leaf", lambda g, dy: 0 * g, ("zeroed",)),
    Mutation("zeroed slice", lambda g, dy: g.at[0].set(0), ("zeroed slice", "zeroed"), _has_rows),
    Mutation("stale slice", lambda g, dy: g.at[0].set(g[1]), ("wrong slice",), _has_rows),
    Mutation("transposed", lambda g, dy: g.T, ("transposed",), lambda g: g.ndim == 2),
    Mutation("off by one", lambda g, dy: jnp.roll(g, 1, -1), ("moved",), _is_wide),
    Mutation("reversed", lambda g, dy: g[::-1], ("moved",), _has_rows),
    Mutation("not summed", lambda g, dy: jnp.broadcast_to(g / 3, (3, *g.shape)), ("not summed",)),
    # Zeroed, where rows sum to 0.
    Mutation("summed too far", _row_sum, ("summed too far", "zeroed"), _is_wide),
    Mutation("row mean taken away", lambda g, dy: g - g.mean(-1, keepdims=True), ROW, _is_wide),
    Mutation("one number a row too much", _too_much, ROW, _is_wide),
    Mutation("cast to bfloat16", lambda g, dy: g.astype("bfloat16").astype(g.dtype), CAST),
    Mutation("cast to float16", lambda g, dy: g.astype("float16").astype(g.dtype), CAST),
    Mutation("every other entry off", _alternate, ()),
    Mutation("clipped", lambda g, dy: jnp.clip(g, -0.3, 0.3), ()),
    Mutation("another dtype", lambda g, dy: g.astype(jnp.float16), CAST),
)


def mutants(entries: dict[str, Entry]) -> Iterator[Mutant]:
    """Every mutation in every entry.

    Leaf mutations on its leaves in turn, and those that need a backward's insides.
    """
    for number, (name, (_, subject, inputs)) in enumerate(entries.items()):
        x = jnp.asarray(inputs[0])
        by = x if isinstance(subject, Loss) else (subject.init(jax.random.key(0), x), x)
        leaves = jax.tree.leaves(by)  # of the gradient's form
        made: list[tuple[str, tuple[str, ...], Rule]] = []
        for position, (kind, change, named, fits) in enumerate(MUTATIONS):
            fitting = [i for i, leaf in enumerate(leaves) if fits(leaf)]
            if fitting:
                i = fitting[(number + position) % len(fitting)]
                made.append((kind, named, _planted(subject, i, change)))
        pairs = ((i, j) for i in range(len(leaves)) for j in range(i))
        alike = [(i, j) for i, j in pairs if leaves[i].shape == leaves[j].shape]
        made += [("swapped", ("swapped",), _swapped(subject, i, j)) for i, j in alike[:1]]
        if isinstance(subject, Layer):
            made += _inside(subject, x)
        for kind, named, wrong in made:
            yield Mutant(name, kind, named, subject, wrong, inputs)


def _spoilt(subject: Rule, spoil: Callable[[list[Array], Array], None]) -> Rule:
    """The subject with `spoil(leaves, dy)` after its backward; a loss's gradient is its dy."""

    def spoilt(gradient: Tree, dy: Array) -> Tree:
        leaves, treedef = flatten(gradient)
        spoil(leaves, dy)
        return treedef.unflatten(leaves)

    if isinstance(subject, Loss):
        return subject._replace(backward=lambda r: spoilt(*[subject.backward(r)] * 2))
    return subject._replace(backward=lambda p, r, dy: spoilt(subject.backward(p, r, dy), dy))


def _planted(subject: Rule, i: int, change: Change) -> Rule:
    def plant(leaves: list[Array], dy: Array) -> None:
        leaves[i] = change(leaves[i], dy)

    return _spoilt(subject, plant)


def _swapped(subject: Rule, i: int, j: int) -> Rule:
    def swap(leaves: list[Array], _: Array) -> None:
        leaves[i], leaves[j] = leaves[j], leaves[i]

    return _spoilt(subject, swap)


def _inside(layer: Layer, x: Array) -> Iterator[tuple[str, tuple[str, ...], Layer]]:
    """Mistakes with what backward is given."""
    backward, forward = layer.backward, layer.forward
    y, residuals = forward(layer.init(jax.random.key(0), x), x, jax.random.key(1))
    if y.shape == x.shape:
        straight = layer._replace(backward=lambda p, r, dy: (backward(p, r, dy)[0], dy))
        yield "no derivative", ("no derivative",), straight
        if getattr(residuals, "shape", None) == y.shape and residuals.dtype == y.dtype:
            kept_y = bool(np.array_equal(residuals, y))

            def confused(p: Params, x: Array, key: Key) -> tuple[Array, Array]:
                y, _ = forward(p, x, key)
                return y, x if kept_y else y

            yield "input for output", ("input for output",), layer._replace(forward=confused)

    def given(change: Callable[[Array], Array]) -> Layer:
        return layer._replace(backward=lambda p, r, dy: backward(p, r, change(dy)))

    def left_over(dy: Array) -> Array:  # all ones would be lost on softmax
        return jnp.cos(jnp.arange(dy.size, dtype=dy.dtype)).reshape(dy.shape)

    yield "stale", ("stale",), given(left_over)
    yield "dy clipped", (), given(lambda dy: jnp.clip(dy, -1, 1))
    yield "dy's sign alone", (), given(jnp.sign)

    def remember(p: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
        y, r = forward(p, x, key)
        return y, (r, x)

    def nan_far_out(p: Params, r: Residuals, dy: Array) -> tuple[Params, Array]:
        dparams, dx = backward(p, r[0], dy)
        return dparams, jnp.where(jnp.abs(r[1]) > 100, jnp.nan, dx)

    def wrong_at_odd(p: Params, r: Residuals, dy: Array) -> tuple[Params, Array]:
        dparams, dx = backward(p, r, dy)
        return dparams, dx if len(dx) % 2 == 0 else dx.at[-1].set(0)

    yield "NaN far out", (), layer._replace(forward=remember, backward=nan_far_out)
    yield "last of an odd batch lost", ("zeroed slice",), layer._replace(backward=wrong_at_odd)


def equivalent(mutant: Mutant, seed: int = 0) -> bool:
    """Whether the mutant's gradients are the original's, in float64.

    They are compared over batches, cotangents and extremes.
    """
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        both = mutant.original, mutant.subject
        right, wrong = (as_subject(rule, mutant.inputs, None, seed) for rule in both)
        for n, extreme in ((6, False), (7, False), (1, False), (6, True)):
            ours, theirs = (Case(subject, "", right.resize(n)) for subject in (right, wrong))
            values = ours.values
            if extreme:
                values = [*values[:-1], edge_inputs(values[-1])["±1e4"]]
            dy = normal_like(ours.y, rng)
            try:
                g = ours.by_hand(values, dy)
            except ValueError:  # a loss of probabilities refuses such a prediction
                continue
            w = theirs.by_hand(values, dy)
            if [a.dtype for a in g] != [a.dtype for a in w]:
                return False
            if compare(ours.labels, w, g, dy).figure > 1e-13:
                return False
    return True


def differentiable(
    subject: Rule, inputs: tuple[np.ndarray, ...], dtype: str
) -> tuple[Callable[..., Tree], list[Array]]:
    """The subject as a `custom_vjp` function of flat arrays, which other checkers take."""
    x, *target = (jnp.asarray(a) for a in cast(inputs, np.dtype(dtype)))
    if isinstance(subject, Loss):
        layer = parameterless(
            "loss",
            lambda x: subject.forward(x, *target),
            lambda residuals, dy: dy * subject.backward(residuals),
        )
    else:
        layer = subject
    f, key = as_custom_vjp(layer), jax.random.key(1)
    leaves, treedef = flatten((layer.init(jax.random.key(0), x), x))
    return lambda *leaves: f(*treedef.unflatten(leaves), key), leaves
