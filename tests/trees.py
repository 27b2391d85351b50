"""What several tests share: random trees, and comparing them."""

from typing import Any

import jax
import numpy as np

# What could differentiate for us. No backward may name it, and no step by hand may call it.
AUTODIFF = [
    *(
        "grad",
        "value_and_grad",
        "vjp",
        "jvp",
        "linearize",
        "linear_transpose",
        "jacfwd",
        "jacrev",
        "jacobian",
        "hessian",
    ),
    *("custom_vjp", "custom_jvp", "custom_gradient", "custom_transpose"),
]

RTOL = 1e-12  # of the norm, by hand against autodiff, in float64


def normal_like(tree: Any, seed: int) -> Any:
    """Random numbers in the shape of a tree of floating arrays."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.device_put(rng.standard_normal(leaf.shape).astype(leaf.dtype)), tree
    )


def norm(tree: Any) -> float:
    return float(
        np.sqrt(
            sum(float((np.asarray(leaf, np.float64) ** 2).sum()) for leaf in jax.tree.leaves(tree))
        )
    )


def same_bits(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)


def assert_same_form(got: Any, wanted: Any) -> None:
    assert str(jax.tree.structure(got)) == str(jax.tree.structure(wanted))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


def assert_close(got: Any, wanted: Any, rtol: float = RTOL) -> None:
    """Leaf by leaf, so that a small leaf can't hide behind a large one."""
    assert_same_form(got, wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert np.isfinite(a).all()
        assert norm(np.asarray(a) - np.asarray(b)) <= rtol * max(norm(b), 1e-300), (
            f"got\n{a}\nwanted\n{b}"
        )
