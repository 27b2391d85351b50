import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from jax import grad

from backhand import (
    Training,
    autodiff,
    init_state,
    linear,
    make_epoch,
    make_step,
    manual,
    parallel,
    relu,
    residual,
    serial,
    softmax_cross_entropy,
    squared_error,
    tanh,
)
from backhand.verify.purity import TRAPS, assert_no_autodiff
from tests.trees import assert_close, normal_like

X = normal_like(jnp.zeros((16, 6)), 0)
LABELS = jnp.arange(16, dtype=jnp.int32) % 3
NETS = {
    "perceptron": (serial(linear(8), relu, linear(3)), softmax_cross_entropy, LABELS),
    "branches": (
        serial(linear(4), residual(tanh), parallel(linear(2), linear(2))),
        squared_error,
        X[:, :2],
    ),
}


def f(x):
    return (jnp.tanh(x) ** 2).sum()


GRADS: dict[str, Any] = {
    "made before": jax.grad(f),
    "jitted": jax.jit(jax.grad(f)),
    "partial": partial(grad, f)(),
}
PULLBACK = jax.vjp(f, X)[1]
CACHED = jax.jit(lambda x: x - 0.1 * GRADS["jitted"](x))
USES: dict[str, Any] = {
    "jax.grad": [
        lambda x: jax.grad(f)(x),
        lambda x: grad(f)(x),
        *GRADS.values(),
        CACHED,
        lambda x: jax.lax.scan(lambda c, _: (CACHED(c), None), x, length=2)[0],
        lambda x: jax.lax.map(grad(f), x),
        lambda x: jax.vmap(grad(f))(x),
        lambda x: jax.grad(f)(jnp.ones(3)),  # of a constant, which leaves no mark in what is traced
        lambda x: jax.grad(f, has_aux=False)(x),
    ],
    "jax.value_and_grad": [jax.value_and_grad(f), jax.jit(partial(jax.value_and_grad(f)))],
    "jax.vjp": [lambda x: jax.vjp(f, x)[0]],
    "a function that jax.vjp returned": [lambda x: PULLBACK(x.sum())],
    "jax.jvp": [
        lambda x: jax.jvp(f, (x,), (x,)),
        lambda x: jax.jit(partial(jax.jvp, f))((x,), (x,)),
    ],
    "jax.linearize": [lambda x: jax.linearize(f, x)[1](x)],
    "jax.linear_transpose": [lambda x: jax.linear_transpose(lambda x: 2 * x, x)(x)],
    "jax.jacrev": [jax.jacrev(f), jax.jacobian(f)],
    "jax.jacfwd": [jax.jacfwd(f), jax.hessian(f)],
}


@pytest.mark.parametrize("name", [pytest.param("perceptron", marks=pytest.mark.slow), "branches"])
def test_a_step_by_hand_passes_and_one_by_autodiff_does_not(name):
    net, loss, y = NETS[name]
    by_hand, by_jax = (Training(net, loss, optax.sgd(0.1), way) for way in (manual, autodiff))
    state = init_state(by_hand, jax.random.key(0), X)
    for training in (by_hand, by_jax):
        make_step(training)(state, X, y)  # in JAX's caches from here on
    assert_no_autodiff(make_step(by_hand), state, X, y)
    assert_no_autodiff(make_epoch(by_hand, 8), state, X, y)
    for function in (make_step(by_jax), make_epoch(by_jax, 8)):
        says = r"calls jax\.value_and_grad at .*step\.py:\d+ in step"
        with pytest.raises(AssertionError, match=says):
            assert_no_autodiff(function, state, X, y)


@pytest.mark.parametrize(
    ("name", "use"), [(name, use) for name, uses in USES.items() for use in uses]
)
def test_every_way_to_differentiate_is_named(name, use):
    use(X)  # in JAX's caches from here on
    for function in (use, jax.jit(use)):
        with pytest.raises(
            AssertionError, match=rf"should use no autodiff, but it calls {name} at .*\.py:\d+ in"
        ):
            assert_no_autodiff(function, X)


def test_it_says_where():
    line = sys._getframe().f_lineno + 3

    def step(x):
        return grad(f)(x)

    with pytest.raises(
        AssertionError, match=rf"calls jax\.grad at .*test_purity\.py:{line} in step"
    ):
        assert_no_autodiff(step, X)


def test_a_function_that_hides_the_error():
    def step(x):
        try:
            return grad(f)(x)
        except Exception:
            return x

    with pytest.raises(AssertionError, match=r"jax\.grad"):
        assert_no_autodiff(step, X)


def test_derivative_rules_that_nobody_asks_for():
    @jax.custom_vjp
    def custom(x):
        return x

    custom.defvjp(lambda x: (x, ()), lambda _, dy: (dy,))
    custom_jvps = (jax.nn.relu, jax.nn.silu, jax.nn.softmax, jax.nn.gelu, jax.nn.logsumexp)
    others = (
        custom,
        jax.checkpoint(f),
        jax.remat(jnp.sin),
        lambda x: jnp.linalg.solve(x[:6], x[0]),
        jnp.linalg.inv,
    )
    for function in (*custom_jvps, *others):
        assert_no_autodiff(jax.jit(function), X[:6])


def test_it_leaves_jax_as_it_was():
    before = [getattr(owner, name) for owner, name in TRAPS]
    contexts = jax.config.values.copy()
    traced = []
    cached = jax.jit(lambda x: traced.append(x) or x + 1)
    cached(X)

    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        assert_no_autodiff(fails, X)
    with pytest.raises(AssertionError):
        assert_no_autodiff(grad(f), X)
    assert_no_autodiff(cached, X)
    assert [getattr(owner, name) for owner, name in TRAPS] == before
    assert jax.config.values == contexts
    traces = len(traced)
    cached(X)
    assert len(traced) == traces  # what was compiled before is still there
    assert_close(grad(f)(X), 2 * jnp.tanh(X) * (1 - jnp.tanh(X) ** 2), rtol=1e-12)
    jax.eval_shape(jax.hessian(f), X[0])
