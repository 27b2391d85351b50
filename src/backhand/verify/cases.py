"""A subject at some arguments: its gradient by hand and by JAX, as functions of floating leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Array, Tree
from backhand.verify.subjects import Arguments, Leaves, Subject, flatten, is_floating


@dataclass(frozen=True, eq=False)
class Case:
    """The subject at some arguments, with functions of their floating leaves and of dy."""

    subject: Subject
    name: str
    arguments: Arguments

    @cached_property
    def leaves(self) -> Leaves:
        """The floating leaves."""
        return Leaves.of(self.arguments, self.subject.differentiable)

    @cached_property
    def labels(self) -> list[str]:
        """What people call the leaves' gradients."""
        return self.leaves.labels(self.subject.names)

    @cached_property
    def y(self) -> Tree:
        """The shapes and dtypes of the function's value."""
        return jax.eval_shape(self.function, self.leaves.values)

    def function(self, values: Sequence[Array]) -> Tree:
        """The plain function's value."""
        return self.subject.function(self.leaves.merge(values))

    def by_hand(self, values: Sequence[Array], dy: Tree) -> list[Array]:
        """The gradient by each leaf that the subject's own rule gives."""
        arguments = self.leaves.merge(values)
        return aligned(self.subject, arguments, self.subject.rule(arguments, dy))

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
        def along(t: Array, values: list[Array], direction: list[Array], dy: Tree) -> Array:
            y = self.function([v + t * d for v, d in zip(values, direction, strict=True)])
            pairs = zip(jax.tree.leaves(dy), jax.tree.leaves(y), strict=True)
            return sum((jnp.vdot(a, b) for a, b in pairs), start=jnp.zeros((), jnp.float64))

        return jax.jit(along)

    def slope(
        self, values: list[Array], direction: Sequence[Array | np.ndarray], dy: Tree
    ) -> Callable[[float], float]:
        """t ↦ ⟨dy, f(values + t·direction)⟩."""
        return lambda t: float(self._along(jnp.asarray(t), values, direction, dy))


class FormError(Exception):
    """The gradients are not even of the arguments' form."""


def aligned(subject: Subject, arguments: Arguments, gradients: Sequence[Tree]) -> list[Array]:
    """The gradients of the floating leaves, in the leaves' order.

    FormError if it can't be told which is which.
    """
    count = len(arguments)
    if not isinstance(gradients, tuple | list):
        raise FormError(f"backward returns one value, where a tuple of {count} gradients should be")
    if len(gradients) != count:
        raise FormError(f"backward returns {len(gradients)} gradients for {count} arguments")
    found = []
    for argument, gradient, differentiable, name in zip(
        arguments, gradients, subject.differentiable, subject.names, strict=True
    ):
        values, treedef = flatten(argument)
        wanted = [is_floating(value) and differentiable for value in values]
        try:
            leaves = treedef.flatten_up_to(gradient) if any(wanted) else []
        except (TypeError, ValueError):
            leaves = jax.tree.leaves(gradient)
            if len(leaves) != len(values):
                has = f"d{name} has {len(leaves)} leaves, {name} has {len(values)}"
                raise FormError(has) from None
        found += [leaf for leaf, takes in zip(leaves, wanted, strict=False) if takes]
    if any(leaf is None for leaf in found):
        raise FormError("backward returns None for a floating argument")
    return found
