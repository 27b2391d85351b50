import jax
import jax.numpy as jnp
import optax
import pytest
from jax.random import clone

from backhand import (
    Layer,
    as_custom_vjp,
    autodiff,
    deterministic,
    gelu,
    linear,
    parallel,
    relu,
    residual,
    serial,
    softmax,
    softmax_cross_entropy,
    squared_error,
    tanh,
)
from tests.trees import assert_close, assert_same_form, norm, normal_like

NETS = {
    "linear": linear(5),
    "tanh": tanh,
    "serial": serial(linear(6), relu, linear(5), softmax),
    "branches": serial(linear(4), residual(tanh), parallel(linear(3), serial(gelu, linear(3)))),
}
X = normal_like(jnp.zeros((8, 4)), 0)


def dropout(rate: float) -> Layer:
    """A layer that draws at random in training; its residuals are the mask."""

    def forward(params, x, key):
        mask = jax.random.bernoulli(key, 1 - rate, x.shape).astype(x.dtype) / (1 - rate)
        return mask * x, mask

    return Layer(
        lambda key, x: (),
        lambda params, x: x,
        forward,
        lambda params, mask, dy: ((), mask * dy),
        "dropout",
    )


def doubled(layer: Layer) -> Layer:
    """The layer with a wrong backward pass: twice the gradient of its params."""

    def backward(params, residuals, dy):
        dparams, dx = layer.backward(params, residuals, dy)
        return jax.tree.map(lambda d: 2 * d, dparams), dx

    return layer._replace(backward=backward)


def test_its_gradient_is_the_layers_backward_and_autodiffs():
    @jax.jit
    def three_ways(params, x, dys):
        found = {}
        for name, layer in NETS.items():
            p, dy = params[name], dys[name]
            y, pull = jax.vjp(as_custom_vjp(layer), p, x)
            wanted_y, pull_back = jax.vjp(layer.apply, p, x)
            _, residuals = layer.forward(p, x, jax.random.key(1))
            found[name] = (y, pull(dy)), layer.backward(p, residuals, dy), (wanted_y, pull_back(dy))
        return found

    params = {name: layer.init(jax.random.key(0), X) for name, layer in NETS.items()}
    dys = {name: normal_like(layer.apply(params[name], X), 1) for name, layer in NETS.items()}
    for ours, by_hand, by_jax in three_ways(params, X, dys).values():
        assert_close(ours[1], by_hand, rtol=1e-14)
        assert_close(ours, by_jax)


def test_it_asks_the_backward_written_by_hand():
    params = linear(5).init(jax.random.key(0), X)
    right, wrong = (
        jax.grad(lambda p, f=f: f(p, X).sum())(params)
        for f in map(as_custom_vjp, (linear(5), doubled(linear(5))))
    )
    assert_close(wrong, jax.tree.map(lambda d: 2 * d, right))


TRANSFORMS = {
    "alone": lambda f: f,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "vmap": lambda f: jax.vmap(lambda p, x: f(p, x[None])[0], in_axes=(None, 0)),
    "scan": lambda f: lambda p, x: jax.lax.scan(lambda h, _: (f(p, h), None), x, length=3)[0],
    "cond": lambda f: lambda p, x: jax.lax.cond(x.sum() > 0, f, lambda p, x: x, p, x),
}


def test_under_jit_vmap_scan_and_checkpoint():
    layer = serial(linear(4), tanh)
    params = layer.init(jax.random.key(0), X)

    def gradient(f, of):
        return jax.grad(lambda p, x: (of(f)(p, x) ** 2).sum(), argnums=(0, 1))

    @jax.jit
    def both(params, x):
        functions = as_custom_vjp(layer), layer.apply
        return [[gradient(f, of)(params, x) for f in functions] for of in TRANSFORMS.values()]

    for got, wanted in both(params, X):
        assert_close(got, wanted)


def test_one_gradient_an_example():
    layer = serial(linear(4), tanh)
    params = layer.init(jax.random.key(0), X)
    alone = jax.grad(lambda p, x: as_custom_vjp(layer)(p, x[None]).sum())
    each = jax.jit(jax.vmap(alone, in_axes=(None, 0)))(params, X)
    total = jax.jit(jax.grad(lambda p: layer.apply(p, X).sum()))(params)
    assert_close(jax.tree.map(lambda d: d.sum(0), each), total)


@pytest.mark.slow
def test_the_backward_can_be_differentiated_in_its_turn():
    layer = serial(linear(3), tanh)
    params = layer.init(jax.random.key(0), X)
    for second in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))):
        got, wanted = (
            jax.jit(second(lambda x, f=f: (f(params, x) ** 2).sum()))(X)
            for f in (as_custom_vjp(layer), layer.apply)
        )
        assert_close(got, wanted)


@pytest.mark.parametrize("of", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_forward_mode_is_refused_and_says_why(of):
    layer = serial(linear(4), tanh)
    params = layer.init(jax.random.key(0), X)
    f = of(as_custom_vjp(layer))

    def scanned(x):
        return jax.lax.scan(lambda h, _: (f(params, h), None), x, length=2)[0]

    for differentiate in (
        lambda: jax.jvp(f, (params, X), (params, X)),
        lambda: jax.jit(lambda x: jax.jvp(f, (params, x), (params, x)))(X),
        # Of f jitted, JAX itself refuses.
        lambda: jax.jacfwd(as_custom_vjp(layer), argnums=1)(params, X),
        lambda: jax.linearize(f, params, X)[1](params, X),
        lambda: jax.jvp(scanned, (X,), (X,)),
    ):
        says = r"written by hand: it takes gradients back, .* use jax\.grad"
        with pytest.raises(TypeError, match=says):
            differentiate()
    with pytest.raises(TypeError, match="forward mode"):  # a layer with no params has a tangent too
        jax.jvp(lambda x: as_custom_vjp(tanh)((), x), (X,), (X,))


def test_a_layer_that_draws_at_random():
    layer = serial(linear(4), dropout(0.5), tanh)
    params = layer.init(jax.random.key(0), X)
    f = as_custom_vjp(layer)
    assert_close(f(params, X), layer.apply(params, X))  # inference needs no key

    @jax.jit
    def both(params, x, key):
        functions = f, lambda p, x, key: layer.forward(p, x, key)[0]
        return [
            jax.grad(lambda p, x, g=g: g(p, x, clone(key)).sum(), argnums=(0, 1))(params, x)
            for g in functions
        ]

    assert_close(*both(params, X, jax.random.key(1)))
    _, pull = jax.vjp(f, params, X, jax.random.key(1))
    assert pull(X)[2].dtype == jax.dtypes.float0
    for gradient in (jax.grad, lambda g: jax.jit(jax.grad(g))):
        says = r"serial draws at random .* f\(params, x, key\) would work"
        with pytest.raises(ValueError, match=says):
            gradient(lambda p: f(p, X).sum())(params)


def test_a_key_changes_nothing_where_none_is_needed():
    layer = NETS["serial"]
    params = layer.init(jax.random.key(0), X)
    f = as_custom_vjp(layer)
    keys = (jax.random.key(3), None)
    got, wanted = (
        jax.jit(jax.grad(lambda p, key=key: f(p, X, key)[:, 0].sum()))(params) for key in keys
    )
    assert_close(got, wanted, rtol=1e-14)


def test_integers_get_no_gradient():
    """An embedding: x holds rows' numbers."""

    def backward(table, rows, dy):
        return jnp.zeros_like(table).at[rows].add(dy), None

    layer = deterministic(
        lambda key, x: jnp.ones((5, 3)), lambda table, x: (table[x], x), backward, "embedding"
    )
    table, rows = normal_like(jnp.zeros((5, 3)), 0), jnp.array([0, 3, 3])
    got, jitted, wanted = (
        jax.grad(lambda table, f=f: (f(table, rows) ** 2).sum())(table)
        for f in (as_custom_vjp(layer), jax.jit(as_custom_vjp(layer)), layer.apply)
    )
    assert_close(got, wanted)
    assert_close(jitted, wanted)


@pytest.mark.slow
def test_a_step_inside_a_flax_net():
    from flax import nnx

    hidden = serial(linear(4), tanh)

    class Ours(nnx.Module):
        """Flax's linear layers around ours."""

        def __init__(self, layer, rngs):
            self.ours = nnx.data(nnx.Param(layer.init(rngs.params(), X)))
            self.out = nnx.Linear(4, 2, rngs=rngs, param_dtype=X.dtype)
            self.f = as_custom_vjp(layer)

        def __call__(self, x):
            return self.out(self.f(self.ours.get_value(), x))

    def gradient(layer):
        net = Ours(layer, nnx.Rngs(0))
        return net, nnx.jit(nnx.value_and_grad(lambda net: (net(X) ** 2).mean()))

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        net, step = gradient(hidden)
        before, dnet = step(net)
        _, wrong = (lambda net, step: step(net))(*gradient(doubled(hidden)))
        plain = serial(hidden, linear(2))
        params = (net.ours.get_value(), (net.out.kernel.get_value(), net.out.bias.get_value()))
        y = jnp.zeros((8, 2))
        params = jax.tree.unflatten(
            jax.tree.structure(plain.init(jax.random.key(0), X)), jax.tree.leaves(params)
        )
        _, wanted = autodiff(plain, squared_error)(params, X, y, jax.random.key(0))
        assert_close(dnet.ours.get_value(), jax.tree.map(lambda d: d / 2, wanted[0]))
        assert norm(wrong.ours.get_value()) > 1.5 * norm(dnet.ours.get_value())
        optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
        optimizer.update(net, dnet)
        after, _ = step(net)
    assert after < before


@pytest.mark.slow
def test_a_step_inside_an_equinox_net():
    import equinox as eqx

    hidden = serial(linear(4), tanh)

    class Ours(eqx.Module):
        """Ours, then one of Equinox's linear layers, example by example."""

        params: tuple
        out: eqx.nn.Linear
        f: object = eqx.field(static=True)

        def __call__(self, x):
            return jax.vmap(self.out)(self.f(self.params, x))

    def net(f):
        return Ours(
            hidden.init(jax.random.key(0), X), eqx.nn.Linear(4, 2, key=jax.random.key(1)), f
        )

    labels = jnp.arange(8) % 2
    step = eqx.filter_jit(
        eqx.filter_value_and_grad(lambda net: softmax_cross_entropy.forward(net(X), labels)[0])
    )
    ours = net(as_custom_vjp(hidden))
    before, dnet = step(ours)
    _, wanted = step(net(hidden.apply))
    _, wrong = step(net(as_custom_vjp(doubled(hidden))))
    assert_close(jax.tree.leaves(dnet), jax.tree.leaves(wanted))
    assert norm(wrong.params) > 1.5 * norm(dnet.params)
    optimizer = optax.sgd(0.1)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(dnet, optimizer.init(eqx.filter(ours, eqx.is_array)))
    after, _ = step(eqx.apply_updates(ours, updates))
    assert after < before


def test_value_dtypes_and_structure_are_kept():
    layer, x = NETS["serial"], jax.ShapeDtypeStruct(X.shape, jnp.bfloat16)
    params = jax.eval_shape(lambda x: layer.init(jax.random.key(0), x), x)
    gradient = jax.grad(lambda p, x: as_custom_vjp(layer)(p, x)[:, 0].sum())
    assert_same_form(jax.eval_shape(gradient, params, x), params)


@pytest.mark.parametrize(("mistake", "hint"), [(linear, "did you mean linear"), (None, "got None")])
def test_what_is_not_a_layer(mistake, hint):
    with pytest.raises(TypeError, match=f"as_custom_vjp: argument 1 should be a Layer, .*{hint}"):
        as_custom_vjp(mistake)
