import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from backhand import (
    autodiff,
    cross_entropy,
    elu,
    gelu,
    huber,
    init_state,
    leaky_relu,
    linear,
    logistic,
    make_step,
    manual,
    parallel,
    relu,
    residual,
    serial,
    sigmoid,
    silu,
    softmax,
    softmax_cross_entropy,
    softplus,
    squared_error,
    tanh,
)
from backhand.verify import assert_no_autodiff
from tests.trees import RTOL, assert_same_form, norm, normal_like

LABELS = jnp.asarray(np.random.default_rng(0).integers(0, 10, 32))
NETS = {
    "1 layer": (serial(linear(10)), softmax_cross_entropy, LABELS),
    "2 layers, the lesson's": (serial(linear(16), tanh, linear(10), softmax), cross_entropy, LABELS),
    "3 layers": (serial(linear(32), relu, linear(16), relu, linear(10)), softmax_cross_entropy, LABELS),
    "every activation": (
        serial(
            *(
                part
                for f in (tanh, sigmoid, relu, leaky_relu(), elu(), softplus, gelu, silu)
                for part in (linear(8), f)
            ),
            linear(10),
        ),
        softmax_cross_entropy,
        LABELS,
    ),
    "branches": (
        serial(linear(8), residual(serial(linear(8), tanh)), parallel(linear(10), serial(silu, linear(10)))),
        softmax_cross_entropy,
        LABELS,
    ),
    "logistic": (serial(linear(8), tanh, linear(1)), logistic, LABELS // 5),
    "regression": (serial(linear(8), gelu, linear(2)), squared_error, normal_like(jnp.zeros((32, 2)), 5)),
    "robust regression": (serial(linear(8), gelu, linear(2)), huber(), normal_like(jnp.zeros((32, 2)), 5)),
}


@pytest.mark.parametrize("name", NETS)
def test_manual_equals_autodiff(name):
    net, loss, y = NETS[name]
    x = normal_like(jnp.zeros((32, 6)), 0)
    params = net.init(jax.random.key(0), x)
    value, dparams = jax.jit(manual(net, loss))(params, x, y, jax.random.key(1))
    wanted_value, wanted = jax.jit(autodiff(net, loss))(params, x, y, jax.random.key(1))
    assert_same_form(dparams, wanted)
    assert_same_form(dparams, params)
    assert float(value) == pytest.approx(float(wanted_value), rel=1e-14)
    difference = jax.tree.map(lambda a, b: a - b, dparams, wanted)
    assert norm(difference) <= RTOL * norm(wanted)


@pytest.mark.parametrize("name", NETS)
def test_a_step_by_hand_uses_no_autodiff(name):
    net, loss, y = NETS[name]
    x = normal_like(jnp.zeros((32, 6)), 0)
    optimizer = optax.adam(1e-3)
    state = init_state(jax.random.key(0), net, optimizer, x)
    assert_no_autodiff(make_step(manual(net, loss), optimizer), state, x, y)
    with pytest.raises(AssertionError, match=r"calls jax\.value_and_grad"):
        assert_no_autodiff(make_step(autodiff(net, loss), optimizer), state, x, y)
