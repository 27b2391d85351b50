"""Wrong backward passes, made from right ones: what a checker of backward passes must catch.

A mutation changes one leaf of a right gradient (or what backward is given) the way people do it by mistake.
Each is planted in every catalogue entry where it makes sense. Some mutants are none: on that entry the
mutation changes nothing. These are found by comparing with the right backward, in float64, and not counted.
(DeMillo, Lipton and Sayward, "Hints on test data selection", 1978.)
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Layer
from backhand.losses import Loss
from backhand.verify.catalogue import Entry
from backhand.verify.comparisons import wide
from backhand.verify.oracles import normal_like
from backhand.verify.subjects import as_subject, flatten, rows


class Mutation(NamedTuple):
    """A way to get one leaf of a gradient wrong.

    `change(g, dy)` is the wrong leaf, for g the right one, and `fits(g, dy)` whether it makes sense there.
    `named` are the diagnoses that name it, or () where it is none of the usual mistakes.
    """

    kind: str
    change: Callable[[Any, Any], Any]
    named: tuple[str, ...]
    fits: Callable[[Any, Any], bool] = lambda g, dy: True


class Mutant(NamedTuple):
    """A wrong subject, what it was made from, and which diagnoses name what was done."""

    name: str
    kind: str
    named: tuple[str, ...]
    original: Any
    subject: Any
    inputs: tuple[Any, ...]


def _has_rows(g: Any, _: Any) -> bool:
    return bool(g.ndim > 0 and g.shape[0] > 1)


def _wide(g: Any, _: Any) -> bool:
    return bool(g.ndim > 0 and g.shape[-1] > 1)


def _many(_: Any, dy: Any) -> bool:
    return bool(dy.ndim > 0 and dy.shape[0] > 1)


def _low(dtype: Any) -> Callable[[Any, Any], Any]:
    return lambda g, dy: g.astype(dtype).astype(g.dtype)


def _alternate(g: Any) -> Any:
    return jnp.where(jnp.arange(g.size).reshape(g.shape) % 2 == 0, 1.1, 1.0).astype(g.dtype)


def _fixed(dy: Any) -> Any:
    """A dy that is left over from somewhere; all ones would be lost on softmax."""
    return jnp.cos(jnp.arange(dy.size, dtype=dy.dtype)).reshape(dy.shape)


def _row_sum(g: Any, _: Any) -> Any:
    return jnp.broadcast_to(g.sum(-1, keepdims=True), g.shape)


def _too_much(g: Any, _: Any) -> Any:
    return g + 0.1 * jnp.abs(g).max(-1, keepdims=True)


MUTATIONS = (
    Mutation("wrong sign", lambda g, dy: -g, ("wrong sign",)),
    Mutation("sum for mean", lambda g, dy: g * len(dy), ("sum for mean",), _many),
    Mutation("mean for sum", lambda g, dy: g / len(dy), ("mean for sum",), _many),
    Mutation("factor 2", lambda g, dy: 2 * g, ("factor 2",)),
    Mutation("factor ½", lambda g, dy: g / 2, ("factor ½",)),
    Mutation("1 % too large", lambda g, dy: 1.01 * g, ("factor",)),
    Mutation("0.01 % too small", lambda g, dy: 0.9999 * g, ("factor",)),
    Mutation("zeroed leaf", lambda g, dy: 0 * g, ("zeroed",)),
    Mutation("zeroed slice", lambda g, dy: g.at[0].set(0), ("zeroed slice", "zeroed"), _has_rows),
    Mutation("stale slice", lambda g, dy: g.at[0].set(g[1]), ("wrong slice",), _has_rows),
    Mutation("transposed", lambda g, dy: g.T, ("transposed",), lambda g, dy: g.ndim == 2),
    Mutation("off by one", lambda g, dy: jnp.roll(g, 1, -1), ("moved",), _wide),
    Mutation("reversed", lambda g, dy: g[::-1], ("moved",), _has_rows),
    Mutation("not summed", lambda g, dy: jnp.broadcast_to(g / 3, (3, *g.shape)), ("not summed",)),
    Mutation("summed too far", _row_sum, ("summed too far", "zeroed"), _wide),  # where rows sum to 0
    Mutation("row mean taken away", lambda g, dy: g - g.mean(-1, keepdims=True), ("missing row term",), _wide),
    Mutation("one number a row too much", _too_much, ("missing row term",), _wide),
    Mutation("cast to bfloat16", _low(jnp.bfloat16), ("cast too early",)),
    Mutation("cast to float16", _low(jnp.float16), ("cast too early",)),
    Mutation("every other entry off", lambda g, dy: g * _alternate(g), ()),
    Mutation("clipped", lambda g, dy: jnp.clip(g, -0.3, 0.3), ()),
    Mutation("another dtype", lambda g, dy: g.astype(jnp.float16), ("cast too early",)),
)  # fmt: skip


def mutants(entries: dict[str, Entry]) -> Iterator[Mutant]:
    """Every mutation in every entry: leaf mutations on its leaves in turn, and what needs a backward's insides."""
    for number, (name, entry) in enumerate(entries.items()):
        dy, gradient = _example(entry)
        leaves = jax.tree.leaves(gradient)
        for position, mutation in enumerate(MUTATIONS):
            fitting = [i for i, leaf in enumerate(leaves) if leaf.size and mutation.fits(leaf, dy)]
            if fitting:
                i = fitting[(number + position) % len(fitting)]
                yield Mutant(name, mutation.kind, mutation.named, entry.subject,
                             _planted(entry.subject, i, mutation.change), entry.inputs)  # fmt: skip
        pairs = [(i, j) for i in range(len(leaves)) for j in range(i) if leaves[i].shape == leaves[j].shape]
        for i, j in pairs[:1]:
            yield Mutant(
                name, "swapped", ("swapped",), entry.subject, _swapped(entry.subject, i, j), entry.inputs
            )
        if isinstance(entry.subject, Layer):
            for kind, named, subject in _inside(entry.subject, entry.inputs[0]):
                yield Mutant(name, kind, named, entry.subject, subject, entry.inputs)


def _example(entry: Entry) -> tuple[Any, Any]:
    """A dy for the entry, and its gradient, by the right backward."""
    if isinstance(entry.subject, Loss):
        _, residuals = entry.subject.forward(*entry.inputs)
        return entry.inputs[0], entry.subject.backward(residuals)
    layer, x = entry.subject, jnp.asarray(entry.inputs[0])
    params = layer.init(jax.random.key(0), x)
    y, residuals = layer.forward(params, x, jax.random.key(1))
    dy = normal_like(y, np.random.default_rng(0))
    return dy, layer.backward(params, residuals, dy)


def _changed(tree: Any, i: int, change: Callable[[Any], Any]) -> Any:
    leaves, treedef = flatten(tree)
    return treedef.unflatten([change(leaf) if number == i else leaf for number, leaf in enumerate(leaves)])


def _with_backward(subject: Any, change: Callable[[Any, Any], Any]) -> Any:
    """The subject with `change(gradient, dy)` after its backward; a loss has its gradient for a dy."""
    if isinstance(subject, Loss):
        return subject._replace(
            backward=lambda residuals: change(subject.backward(residuals), subject.backward(residuals))
        )
    return subject._replace(backward=lambda p, residuals, dy: change(subject.backward(p, residuals, dy), dy))


def _planted(subject: Any, i: int, change: Callable[[Any, Any], Any]) -> Any:
    return _with_backward(subject, lambda gradient, dy: _changed(gradient, i, lambda leaf: change(leaf, dy)))


def _swapped(subject: Any, i: int, j: int) -> Any:
    def swap(gradient: Any, _: Any) -> Any:
        leaves, treedef = flatten(gradient)
        leaves[i], leaves[j] = leaves[j], leaves[i]
        return treedef.unflatten(leaves)

    return _with_backward(subject, swap)


def _inside(layer: Layer, x: Any) -> Iterator[tuple[str, tuple[str, ...], Layer]]:
    """Mistakes with what backward is given."""
    backward, forward = layer.backward, layer.forward
    params = layer.init(jax.random.key(0), jnp.asarray(x))
    y, residuals = forward(params, jnp.asarray(x), jax.random.key(1))
    if np.shape(y) == np.shape(x):
        yield (
            "no derivative",
            ("no derivative",),
            layer._replace(backward=lambda p, r, dy: (backward(p, r, dy)[0], dy)),
        )
        if hasattr(residuals, "shape") and residuals.shape == y.shape and residuals.dtype == y.dtype:
            kept_y = bool(np.array_equal(residuals, y))

            def confused(p: Any, x: Any, key: Any) -> Any:
                y, _ = forward(p, x, key)
                return y, x if kept_y else y

            yield "input for output", ("input for output",), layer._replace(forward=confused)
    yield "stale", ("stale",), layer._replace(backward=lambda p, r, dy: backward(p, r, _fixed(dy)))
    yield "dy clipped", (), layer._replace(backward=lambda p, r, dy: backward(p, r, jnp.clip(dy, -1, 1)))
    yield "dy's sign alone", (), layer._replace(backward=lambda p, r, dy: backward(p, r, jnp.sign(dy)))

    def remember(p: Any, x: Any, key: Any) -> Any:
        y, r = forward(p, x, key)
        return y, (r, x)

    def nan_far_out(p: Any, r: Any, dy: Any) -> Any:
        dparams, dx = backward(p, r[0], dy)
        return dparams, jnp.where(jnp.abs(r[1]) > 100, jnp.nan, dx)

    def wrong_at_odd(p: Any, r: Any, dy: Any) -> Any:
        dparams, dx = backward(p, r, dy)
        return dparams, dx if len(dx) % 2 == 0 or len(dx) == 0 else dx.at[-1].set(0)

    yield "NaN far out", (), layer._replace(forward=remember, backward=nan_far_out)
    yield "last of an odd batch lost", ("zeroed slice",), layer._replace(backward=wrong_at_odd)


def equivalent(mutant: Mutant, seed: int = 0) -> bool:
    """Whether the mutant's gradients are the original's, in float64, over batches, cotangents and extremes."""
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        right, wrong = (
            as_subject(s, mutant.inputs, None, None, seed) for s in (mutant.original, mutant.subject)
        )
        assert right.resize is not None
        for n, scale in ((6, 1.0), (7, 1.0), (1, 1.0), (6, 1e4)):
            arguments = right.resize(n)
            if scale > 1:
                x = arguments[0] if isinstance(mutant.original, Loss) else arguments[1]
                far = jnp.where(jnp.arange(x.size).reshape(x.shape) % 2 == 0, scale, -scale)
                arguments = (
                    (far, arguments[1]) if isinstance(mutant.original, Loss) else (arguments[0], rows(far, n))
                )
                try:
                    right.check(arguments)
                except ValueError:
                    continue
            dy = normal_like(jax.eval_shape(right.function, arguments), rng)
            a, b = (jax.tree.leaves(subject.rule(arguments, dy)) for subject in (right, wrong))
            for g, w in zip(a, b, strict=True):
                if g.shape != w.shape or g.dtype != w.dtype:
                    return False
                g, w = wide(g), wide(w)
                if not np.allclose(g, w, rtol=1e-13, atol=1e-14 * np.abs(g).max(initial=0), equal_nan=True):
                    return False
    return True


def differentiable(subject: Any, inputs: tuple[Any, ...], dtype: Any) -> tuple[Callable[..., Any], list[Any]]:
    """The subject as a `custom_vjp` function of flat arrays, and those arrays: what other checkers take."""
    if isinstance(subject, Loss):
        prediction, target = (
            jnp.asarray(a, dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in inputs
        )

        @jax.custom_vjp
        def loss(prediction: Any) -> Any:
            return subject.forward(prediction, target)[0]

        loss.defvjp(lambda p: subject.forward(p, target), lambda r, dy: (dy * subject.backward(r),))
        return loss, [prediction]

    x = jnp.asarray(inputs[0], dtype)
    start = subject.init(jax.random.key(0), x)
    leaves, treedef = flatten((start, x))

    @jax.custom_vjp
    def layer(*leaves: Any) -> Any:
        params, x = treedef.unflatten(leaves)
        return subject.apply(params, x)

    def forward(*leaves: Any) -> Any:
        params, x = treedef.unflatten(leaves)
        y, residuals = subject.forward(params, x, jax.random.key(1))
        return y, (params, residuals)

    def backward(kept: Any, dy: Any) -> Any:
        params, residuals = kept
        return tuple(jax.tree.leaves(subject.backward(params, residuals, dy)))

    layer.defvjp(forward, backward)
    return layer, leaves
