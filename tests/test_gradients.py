import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import (
    autodiff,
    cross_entropy,
    gelu,
    huber,
    linear,
    logistic,
    manual,
    parallel,
    relu,
    residual,
    serial,
    silu,
    softmax,
    softmax_cross_entropy,
    squared_error,
    tanh,
)
from backhand.verify import assert_no_autodiff
from tests.trees import RTOL, assert_same_form, norm, normal_like

LABELS = jnp.asarray(np.random.default_rng(0).integers(0, 10, 32))
NETS = {
    "1 layer": (serial(linear(10)), softmax_cross_entropy, LABELS),
    "2 layers, the lesson's": (
        serial(linear(16), tanh, linear(10), softmax),
        cross_entropy,
        LABELS,
    ),
    "3 layers": (
        serial(linear(32), relu, linear(16), relu, linear(10)),
        softmax_cross_entropy,
        LABELS,
    ),
    "branches": (
        serial(
            linear(8),
            residual(serial(linear(8), tanh)),
            parallel(linear(10), serial(silu, linear(10))),
        ),
        softmax_cross_entropy,
        LABELS,
    ),
    "logistic": (serial(linear(8), tanh, linear(1)), logistic, LABELS // 5),
    "regression": (
        serial(linear(8), gelu, linear(2)),
        squared_error,
        normal_like(jnp.zeros((32, 2)), 5),
    ),
    "robust regression": (
        serial(linear(8), gelu, linear(2)),
        huber(),
        normal_like(jnp.zeros((32, 2)), 5),
    ),
}


@pytest.fixture(scope="module")
def gradients():
    """Each net's params, and its value and gradient by hand and by autodiff, in one program."""
    x = normal_like(jnp.zeros((32, 6)), 0)
    params = {name: net.init(jax.random.key(0), x) for name, (net, _, _) in NETS.items()}

    @jax.jit
    def both(params, x):
        return {
            name: [
                way(net, loss)(params[name], x, y, jax.random.key(1)) for way in (manual, autodiff)
            ]
            for name, (net, loss, y) in NETS.items()
        }

    return params, both(params, x)


@pytest.mark.parametrize("name", NETS)
def test_manual_equals_autodiff(name, gradients):
    (value, dparams), (wanted_value, wanted) = gradients[1][name]
    assert_same_form(dparams, wanted)
    assert_same_form(dparams, gradients[0][name])
    assert float(value) == pytest.approx(float(wanted_value), rel=1e-14)
    difference = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), dparams, wanted)
    assert norm(difference) <= RTOL * norm(wanted)


@pytest.mark.parametrize("name", NETS)
def test_a_gradient_by_hand_uses_no_autodiff(name, gradients):
    net, loss, y = NETS[name]
    given = gradients[0][name], normal_like(jnp.zeros((32, 6)), 0), y, jax.random.key(1)
    assert_no_autodiff(manual(net, loss), *given)
    with pytest.raises(AssertionError, match=r"calls jax\.value_and_grad"):
        assert_no_autodiff(autodiff(net, loss), *given)
