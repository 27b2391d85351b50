"""A subject at some arguments, with its gradient by hand and by JAX as functions of the floating leaves alone."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from backhand.verify.oracles import by_vjp
from backhand.verify.subjects import Arguments, Leaves, Subject, flatten, is_floating


class Case(NamedTuple):
    """The subject at some arguments: its gradient by hand and by JAX, as functions of the floating leaves and dy."""

    name: str
    leaves: Leaves
    labels: list[str]
    by_hand: Callable[[list[Any], Any], list[Any]]
    by_jax: Callable[[list[Any], Any], list[Any]]
    y: Any

    @classmethod
    def of(cls, subject: Subject, name: str, arguments: Arguments) -> "Case":
        """The case of these arguments."""
        leaves = Leaves.of(arguments, subject.differentiable)
        return cls(
            name,
            leaves,
            leaves.labels(subject.names),
            lambda values, dy: aligned(subject, leaves.merge(values), subject.rule(leaves.merge(values), dy)),
            lambda values, dy: by_vjp(subject, leaves.merge(values), dy)[1],
            jax.eval_shape(lambda values: subject.function(leaves.merge(values)), leaves.values),
        )

    def compiled(self) -> Callable[[list[Any], Any], tuple[list[Any], list[Any]]]:
        """Both gradients, jitted together."""
        return jax.jit(lambda values, dy: (self.by_hand(values, dy), self.by_jax(values, dy)))


class FormError(Exception):
    """The gradients are not even of the arguments' form."""


def aligned(subject: Subject, arguments: Arguments, gradients: Sequence[Any]) -> list[Any]:
    """The gradients of the floating leaves, in the leaves' order; FormError where there's no telling which is which."""
    if not isinstance(gradients, tuple | list):
        raise FormError(f"backward returns one value, where a tuple of {len(arguments)} gradients should be")
    if len(gradients) != len(arguments):
        raise FormError(f"backward returns {len(gradients)} gradients for {len(arguments)} arguments")
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
                raise FormError(f"d{name} has {len(leaves)} leaves, {name} has {len(values)}") from None
        found += [leaf for leaf, takes in zip(leaves, wanted, strict=False) if takes]
    if any(leaf is None for leaf in found):
        raise FormError("backward returns None for a floating argument")
    return found
