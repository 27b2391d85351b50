"""Who says what the gradient is: `jax.vjp` of the plain function, and central differences of its values."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand.verify.subjects import Arguments, Leaves, Subject, flatten


def by_vjp(subject: Subject, arguments: Arguments, dy: Any) -> tuple[Any, list[Any]]:
    """y, and the gradient by each floating leaf, by JAX's reverse mode through the plain function."""
    leaves = Leaves.of(arguments, subject.differentiable)
    y, pull = jax.vjp(lambda values: subject.function(leaves.merge(values)), leaves.values)
    return y, pull(dy)[0]


def slope(subject: Subject, arguments: Arguments, direction: list[Any], dy: Any) -> Callable[[float], float]:
    """t ↦ ⟨dy, f(arguments + t·direction)⟩, compiled."""
    leaves = Leaves.of(arguments, subject.differentiable)

    @jax.jit
    def along(t: Any) -> Any:
        moved = [value + t * d for value, d in zip(leaves.values, direction, strict=True)]
        return dot(dy, subject.function(leaves.merge(moved)))

    return lambda t: float(along(jnp.asarray(t)))


def central_difference(f: Callable[[float], float], wanted: float) -> float:
    """f'(0) by the five-point formula, error O(h⁴), at the step h of four that comes nearest to `wanted`.

    Rounding asks for a large h, curvature and kinks for a small one; a forward whose values do not follow
    `wanted` comes near at none. (Fornberg, "Generation of finite difference formulas", 1988.)
    """
    steps = (1e-2, 1e-3, 1e-4, 1e-5)
    slopes = [(8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h) for h in steps]
    return min(slopes, key=lambda s: abs(s - wanted))


def one_sided(f: Callable[[float], float], h: float = 1e-7) -> tuple[float, float]:
    """The slopes of f at 0 to the left and to the right: they differ at a kink."""
    return (f(0.0) - f(-h)) / h, (f(h) - f(0.0)) / h


def dot(a: Any, b: Any) -> Any:
    """⟨a, b⟩ over two trees of arrays."""
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def normal_like(tree: Any, rng: np.random.Generator, scale: float = 1.0) -> Any:
    """Random normal numbers in the shapes and dtypes of a tree."""
    return jax.tree.map(lambda leaf: jnp.asarray(scale * rng.standard_normal(leaf.shape), leaf.dtype), tree)


def one_hot_like(tree: Any, rng: np.random.Generator) -> Any:
    """A tree of zeros with a single 1: the cotangent that asks for one row of the Jacobian."""
    leaves, treedef = flatten(tree)
    sizes = np.array([leaf.size for leaf in leaves])
    position = int(rng.integers(sizes.sum()))
    number = int(np.searchsorted(sizes.cumsum(), position, side="right"))
    offset = position - int(sizes[:number].sum())
    hot = [np.zeros(leaf.shape) for leaf in leaves]
    hot[number].reshape(-1)[offset] = 1.0
    return treedef.unflatten([jnp.asarray(a, leaf.dtype) for a, leaf in zip(hot, leaves, strict=True)])
