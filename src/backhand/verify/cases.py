"""A subject at some arguments: its gradient by hand, by JAX, and from the values alone."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
import optax
from numpy.random import Generator

from backhand.layer import Array, Tree
from backhand.verify.subjects import Arguments, Subject, flatten_with_path, is_floating, placed


class Case:
    """The subject at some arguments, with functions of their floating leaves and of dy.

    `values` are these leaves, `owners` the names of the arguments that they belong to, and `labels`
    what people call their gradients: dw for params.w, dx for x, dparams.0.w deeper.
    """

    def __init__(self, subject: Subject, name: str, arguments: Arguments) -> None:
        self.subject, self.name, self.arguments = subject, name, arguments
        flat, self._treedef = flatten_with_path(arguments)
        self._leaves = [leaf for _, leaf in flat]
        self._floating: list[int] = []  # which of the leaves the values are
        self.owners: list[str] = []
        self.labels: list[str] = []
        for i, (path, leaf) in enumerate(flat):
            owner = subject.names[path[0].idx]
            if is_floating(leaf) and owner != subject.constant:
                inner = jax.tree_util.keystr(path[1:], simple=True, separator=".")
                short = owner == "params" and inner.isidentifier()
                self._floating.append(i)
                self.owners.append(owner)
                self.labels.append(f"d{inner}" if short else f"d{owner}.{inner}".rstrip("."))
        self.values: list[Array] = [self._leaves[i] for i in self._floating]

    def merge(self, values: Sequence[Array]) -> Arguments:
        """The arguments with new values."""
        leaves = list(self._leaves)
        for i, value in zip(self._floating, values, strict=True):
            leaves[i] = value
        merged: Arguments = self._treedef.unflatten(leaves)
        return merged

    @cached_property
    def y(self) -> Tree:
        """The shapes and dtypes of the function's value."""
        return jax.eval_shape(self.function, self.values)

    def function(self, values: Sequence[Array]) -> Tree:
        """The plain function's value."""
        return self.subject.function(self.merge(values))

    def rule(self, values: Sequence[Array], dy: Tree) -> Sequence[Tree]:
        """The gradients that the subject's own rule gives: backward after forward."""
        arguments = self.merge(values)
        _, residuals = self.subject.forward(arguments)
        return self.subject.backward(arguments, residuals, dy)

    def by_hand(self, values: Sequence[Array], dy: Tree) -> list[Array]:
        """Those by each floating leaf."""
        return self.aligned(self.rule(values, dy))

    def by_jax(self, values: Sequence[Array], dy: Tree) -> list[Array]:
        """The same by JAX's reverse mode through the plain function."""
        _, pull = jax.vjp(self.function, values)
        gradient: list[Array] = pull(dy)[0]
        return gradient

    @cached_property
    def compiled(self) -> Callable[[Sequence[Array], Tree], tuple[list[Array], list[Array]]]:
        """Both gradients, compiled together."""
        return jax.jit(lambda values, dy: (self.by_hand(values, dy), self.by_jax(values, dy)))

    @cached_property
    def _along(self) -> Callable[..., Array]:
        def along(t: float, values: list[Array], direction: list[Any], dy: Tree) -> Array:
            moved = [v + t * d for v, d in zip(values, direction, strict=True)]
            y_along_dy: Array = optax.tree.vdot(dy, self.function(moved))
            return y_along_dy

        return jax.jit(along)

    def slope(
        self, values: list[Array], direction: Sequence[Array | np.ndarray], dy: Tree
    ) -> Callable[[float], float]:
        """t ↦ ⟨dy, f(values + t·direction)⟩."""
        return lambda t: float(self._along(t, values, direction, dy))

    def aligned(self, gradients: Sequence[Tree]) -> list[Array]:
        """The gradients of the floating leaves, of those of all arguments.

        TypeError if it can't be told which is which.
        """
        count = len(self.arguments)
        got = len(gradients) if isinstance(gradients, tuple | list) else "one value"
        if got != count:
            raise TypeError(f"backward should return a tuple of {count} gradients, got {got}")
        subject, found = self.subject, []
        for argument, gradient, name in zip(self.arguments, gradients, subject.names, strict=True):
            # An integer's gradient may be None.
            values, leaves = (
                jax.tree.leaves(tree, is_leaf=lambda leaf: leaf is None)
                for tree in (argument, gradient)
            )
            wanted = [name != subject.constant and is_floating(value) for value in values]
            if any(wanted) and len(leaves) != len(values):
                has = f"d{name} has {len(leaves)} leaves, {name} has {len(values)}"
                raise TypeError(has)
            found += [leaf for leaf, takes in zip(leaves, wanted, strict=False) if takes]
        if any(leaf is None for leaf in found):
            raise TypeError("backward returns None for a floating argument")
        return found


def central_difference(f: Callable[[float], float], wanted: float) -> float:
    """f'(0) by the five-point formula, error O(h⁴), at the step h of four nearest to `wanted`.

    Rounding asks for a large h, curvature and kinks for a small one; a forward whose values do not
    follow `wanted` comes near at none. (Fornberg, "Generation of finite difference formulas on
    arbitrarily spaced grids", 1988.)
    """
    steps = (1e-2, 1e-3, 1e-4, 1e-5)
    slopes = [(8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h) for h in steps]
    return min(slopes, key=lambda s: abs(s - wanted))


def normal_like(tree: Tree, rng: Generator, scale: float = 1.0) -> Tree:
    """Random normal numbers in the shapes and dtypes of a tree."""
    return jax.tree.map(lambda a: placed(scale * rng.standard_normal(a.shape), a.dtype), tree)


def one_hot_like(tree: Tree, rng: Generator) -> Tree:
    """Zeros with a single 1, if there is room: the dy that asks for one row of the Jacobian."""
    zeros = jax.tree.map(lambda a: np.zeros(a.shape), tree)
    leaves = [leaf for leaf in jax.tree.leaves(zeros) if leaf.size]
    if leaves:
        leaf = leaves[rng.integers(len(leaves))]
        leaf.flat[rng.integers(leaf.size)] = 1.0
    return jax.tree.map(lambda a, hot: placed(hot, a.dtype), tree, zeros)
