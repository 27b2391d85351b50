"""The judge of every backward: `jax.vjp` of the plain forward, and central differences, in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand import Layer, Loss

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

RTOL = 1e-12  # of the norm, against jax.vjp in float64
DIFFERENCES_RTOL = 1e-6  # against central differences


def normal_like(tree: Any, seed: int) -> Any:
    """Random numbers in the shape of a tree of floating arrays."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype), tree)


def norm(tree: Any) -> float:
    return float(
        np.sqrt(sum(float((np.asarray(leaf, np.float64) ** 2).sum()) for leaf in jax.tree.leaves(tree)))
    )


def dot(a: Any, b: Any) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(sum((np.asarray(x, np.float64) * np.asarray(y, np.float64)).sum() for x, y in pairs))


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
        assert norm(np.asarray(a) - np.asarray(b)) <= rtol * max(norm(b), 1e-300), f"got\n{a}\nwanted\n{b}"


def check_layer(layer: Layer, shape: tuple[int, ...], seed: int = 0, scale: float = 1.0) -> None:
    """Forward equals apply; backward equals jax.vjp of apply, and the slope of apply along random directions."""
    x = scale * normal_like(jnp.zeros(shape), seed)
    params = layer.init(jax.random.key(seed), x)
    params = jax.tree.map(
        lambda p, noise: p + noise, params, normal_like(params, seed + 1)
    )  # biases, too, off 0
    y, residuals = layer.forward(params, x, jax.random.key(seed + 2))
    wanted_y, vjp = jax.vjp(layer.apply, params, x)
    assert_close(y, wanted_y)
    for cotangent_scale in (1.0, 1e-3):
        dy = cotangent_scale * normal_like(y, seed + 3)
        got = layer.backward(params, residuals, dy)
        assert_close(got, vjp(dy))
        assert_same_form(got, (params, x))

    direction = normal_like((params, x), seed + 4)
    slope = central_difference(lambda p, x: dot(layer.apply(p, x), dy), (params, x), direction)
    assert abs(dot(got, direction) - slope) <= DIFFERENCES_RTOL * max(abs(slope), norm(got))


def check_loss(loss: Loss, prediction: Any, target: Any, seed: int = 0) -> None:
    """The same for a loss: backward equals jax.grad of forward, and its slope."""
    value, residuals = loss.forward(prediction, target)
    assert value.shape == ()
    got = loss.backward(residuals)
    assert_close(got, jax.grad(lambda p: loss.forward(p, target)[0])(prediction))
    direction = normal_like(prediction, seed)
    if loss.forward.__qualname__.startswith("_cross_entropy"):
        direction = direction - direction.mean(1, keepdims=True)  # rows go on summing to 1
    step = (direction * 0.01,)
    slope = central_difference(lambda p: float(loss.forward(p, target)[0]), (prediction,), step)
    assert abs(dot(got, step) - slope) <= DIFFERENCES_RTOL * max(abs(slope), norm(got) * norm(step))


def central_difference(f: Any, args: tuple[Any, ...], direction: tuple[Any, ...], h: float = 1e-5) -> float:
    """(f(a + h d) − f(a − h d))/2h, whose error is of order h² and rounding's ε/h."""
    ahead, behind = (jax.tree.map(lambda a, d: a + s * h * d, args, direction) for s in (1, -1))  # noqa: B023
    return float((f(*ahead) - f(*behind)) / (2 * h))
