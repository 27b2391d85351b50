import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand.inspection import Explanation
from tests.trees import norm

LESSON = bh.serial(bh.linear(3), bh.tanh, bh.linear(3), bh.softmax)
NEST = bh.serial(
    bh.linear(4),
    bh.residual(bh.serial(bh.linear(4), bh.tanh)),
    bh.parallel(bh.linear(4), bh.serial(bh.silu, bh.linear(4)), bh.serial()),
    bh.linear(3),
)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 2)), np.array([0, 1, 2, 0, 2])


def trained(net: bh.Layer, loss: bh.Loss) -> bh.Training:
    return bh.Training(net, loss, optax.sgd(0.1))


def explained(net: bh.Layer, loss: bh.Loss, x=X, y=Y) -> Explanation:
    return bh.explain(trained(net, loss), net.init(jax.random.key(1), x), x, y)


@pytest.fixture(scope="module")
def lesson():
    return explained(LESSON, bh.cross_entropy)


@pytest.fixture(scope="module")
def nest():
    return explained(NEST, bh.softmax_cross_entropy)


def differences(table: str) -> dict[str, float]:
    """What the table says: each gradient's difference, by the gradient's name."""
    _, backward = table.split("\nbackward ")
    rows = [line for line in backward.splitlines() if line.endswith(("✓", "✗"))]
    return {row.split(" = ")[0].strip(): float(row.split()[-2]) for row in rows}


@pytest.mark.parametrize("which", ["lesson", "nest"])
def test_every_gradient_is_autodiffs_to_1e_12(which, request):
    """The bar, read off the table and off the nodes."""
    explanation = request.getfixturevalue(which)
    table = differences(str(explanation))
    assert list(table) == [f"d{node.name}" for node in reversed(explanation.nodes)]
    assert max(table.values()) <= 1e-12
    for node in explanation.nodes:
        for gradient in (node.gradient, *(share.gradient for share in node.shares)):
            assert gradient.ok
            assert gradient.by_hand.shape == node.value.shape
            assert norm(gradient.autodiff) > 0
            assert norm(gradient.by_hand - gradient.autodiff) <= 1e-12 * norm(gradient.autodiff)
    assert explanation.ok
    assert not explanation.faults


def test_the_lessons_graph(lesson):
    assert [node.formula for node in lesson.nodes] == [
        "x",
        "w₁",
        "b₁",
        "z₁ = x w₁ + b₁",
        "h = tanh(z₁)",
        "w₂",
        "b₂",
        "z₂ = h w₂ + b₂",
        "p = softmax(z₂)",
        "L = −1/N Σₙ log p[n, y(n)]",
    ]
    assert [node.chain for node in reversed(lesson.nodes)] == [
        "dL = 1",
        "dp = −Y / (N p)",
        "dz₂ = p ⊙ (dp − Σₖ p ⊙ dp)",
        "db₂ = Σₙ dz₂",
        "dw₂ = hᵀ dz₂",
        "dh = dz₂ w₂ᵀ",
        "dz₁ = dh ⊙ (1 − h²)",
        "db₁ = Σₙ dz₁",
        "dw₁ = xᵀ dz₁",
        "dx = dz₁ w₁ᵀ",
    ]
    assert lesson["z₁"].inputs == ("x", "w₁", "b₁")
    assert lesson["L"].inputs == ("p",)
    assert {node.name: list(node.kept) for node in lesson.nodes if node.kept} == {
        "z₁": ["x"],
        "h": ["h"],
        "z₂": ["h"],
        "p": ["p"],
        "L": ["p", "y (20 B)"],
    }
    with pytest.raises(KeyError, match=r"nodes are x, w₁, .* no 'z'"):
        lesson["z"]


def test_values_are_those_of_the_net(lesson):
    params = LESSON.init(jax.random.key(1), X)
    np.testing.assert_allclose(lesson["p"].value, LESSON.apply(params, X), rtol=1e-14)
    np.testing.assert_array_equal(lesson["w₂"].value, params[2].w)
    by_hand = jax.jit(bh.manual(LESSON, bh.cross_entropy))
    value, dparams = by_hand(params, X, Y, jax.random.key(0))
    assert lesson["L"].value == pytest.approx(float(value), rel=1e-14)
    np.testing.assert_allclose(lesson["w₁"].gradient.by_hand, dparams[0].w, rtol=1e-13)


def test_what_is_copied_gets_the_sum(nest):
    """z₁ goes into the residual's layer and around it, s₁ into three branches."""
    for name, sources in (("z₁", ["s₁", "z₂"]), ("s₁", ["s₂", "h₂", "z₃"])):
        node = nest[name]
        assert [share.source for share in node.shares] == sources
        np.testing.assert_allclose(
            node.gradient.by_hand, sum(share.gradient.by_hand for share in node.shares), rtol=1e-12
        )
        assert f"{name} was copied to {len(sources)} places" in node.chain_in_words
    assert nest["z₁"].chain == "dz₁ = ds₁ + dz₂ w₂ᵀ"
    assert nest["s₂"].inputs == ("z₃", "z₄", "s₁")
    assert nest["s₂"].formula == "s₂ = z₃ + z₄ + s₁"


def test_what_is_kept_is_named(nest):
    assert list(nest["L"].kept) == ["softmax(z₅) (120 B)", "y (20 B)"]


def test_the_table_fits_a_terminal(lesson, nest):
    for explanation in (lesson, nest):
        assert max(map(len, str(explanation).splitlines())) <= 100


def wrong_linear(features: int, backward) -> bh.Layer:
    return bh.linear(features)._replace(backward=backward)


MUTANTS = {
    "tanh without 1 + y": (
        bh.serial(
            bh.linear(3),
            bh.tanh._replace(backward=lambda p, y, dy: ((), dy * (1 - y))),
            bh.linear(3),
        ),
        bh.softmax_cross_entropy,
        {"z₁", "b₁", "w₁", "x"},
        ("tanh (net.parts[1])", "dh", "dz₁"),
    ),
    "w not transposed": (
        bh.serial(
            bh.linear(3),
            bh.tanh,
            wrong_linear(3, lambda p, x, dy: (bh.Linear(x.T @ dy, dy.sum(0)), dy @ p.w)),
        ),
        bh.softmax_cross_entropy,
        {"h", "z₁", "b₁", "w₁", "x"},
        ("linear(3) (net.parts[2])", "dz₂", "dh"),
    ),
    "b not summed": (
        bh.serial(
            bh.linear(3), wrong_linear(3, lambda p, x, dy: (bh.Linear(x.T @ dy, dy), dy @ p.w.T))
        ),
        bh.softmax_cross_entropy,
        {"b₂"},
        ("linear(3) (net.parts[1])", "dz₂", "db₂"),
    ),
    "one branch of two": (
        bh.serial(
            bh.linear(3),
            bh.parallel(bh.linear(3), bh.relu._replace(backward=lambda p, on, dy: ((), dy))),
        ),
        bh.softmax_cross_entropy,
        {"z₁", "b₁", "w₁", "x"},
        ("relu (net.parts[1].parts[1])", "dh", "dz₁"),
    ),
    "a loss without 1/N": (
        bh.linear(3),
        bh.softmax_cross_entropy._replace(
            backward=lambda r: 5 * bh.softmax_cross_entropy.backward(r)
        ),
        {"z", "b", "w", "x"},
        ("the loss", "dL", "dz"),
    ),
    "a residual that forgets dy": (
        bh.serial(
            bh.linear(3),
            (around := bh.residual(bh.linear(3)))._replace(
                backward=lambda p, r, dy: (
                    around.backward(p, r, dy)[0],
                    around.backward(p, r, dy)[1] - dy,
                )
            ),
        ),
        bh.softmax_cross_entropy,
        {"z", "b₁", "w₁", "x"},
        ("residual (net.parts[1])", "dv", "dz"),
    ),
}


QUICK = "w not transposed", "one branch of two"


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MUTANTS],
)
def test_a_wrong_backward_shows_where_it_is(name):
    net, loss, wrong, fault = MUTANTS[name]
    explanation = explained(net, loss)
    assert {node.name for node in explanation.nodes if not node.gradient.ok} == wrong
    large = {
        name for name, difference in differences(str(explanation)).items() if difference > 1e-4
    }
    assert large == {f"d{name}" for name in wrong}
    says = "the backward of {} is wrong: {} came to it right, and its share of {},".format(*fault)
    assert [text.startswith(says) for text in explanation.faults] == [True]
    assert f"✗ {len(wrong)} of " in str(explanation)


def test_a_layer_and_a_loss_of_ones_own():
    """Unknown layers get what is so of any; what can't be named is θ, and nothing is too wide."""

    def init(key, x):
        return {"gain": jnp.ones(x.shape[1:], x.dtype), "x": (jnp.zeros((), x.dtype),)}

    def forward(params, x):
        return jnp.broadcast_to(params["gain"], x.shape) * x + params["x"][0], x

    def backward(params, x, dy):
        return {"gain": (x * dy).sum(0), "x": (dy.sum(),)}, jnp.broadcast_to(
            params["gain"], x.shape
        ) * dy

    own = bh.deterministic(
        init, forward, backward, name="a layer of quite a long name, longer than most are"
    )
    loss = bh.Loss(
        lambda prediction, y: ((prediction**2).mean(), prediction), lambda p: 2 * p / p.size
    )
    explanation = explained(bh.serial(own, bh.linear(2)), loss)
    assert explanation.ok
    assert [node.name for node in explanation.nodes] == ["x", "gain", "θ", "v", "w", "b", "z", "L"]
    assert explanation["gain"].chain == "dgain = Jᵀ dv"
    assert explanation["L"].formula == "L = loss(z, y)"
    assert max(map(len, str(explanation).splitlines())) <= 100


@pytest.mark.parametrize(
    "called", ["x", *(pytest.param(name, marks=pytest.mark.slow) for name in ("y", "dy", "arg"))]
)
def test_a_parameter_called_as_the_rules_call_something(called):
    def forward(params, x):
        return jnp.broadcast_to(params[called], x.shape) * x, x

    def backward(params, x, dy):
        return {called: (x * dy).sum(0)}, jnp.broadcast_to(params[called], x.shape) * dy

    own = bh.deterministic(
        lambda key, x: {called: jnp.full(x.shape[1:], 2, x.dtype)}, forward, backward, name="own"
    )
    explanation = explained(own, bh.softmax_cross_entropy, y=Y % 2)
    shown = "θ" if called in "xy" else called
    assert [node.name for node in explanation.nodes] == ["x", shown, "v", "L"]
    assert explanation["v"].formula == f"v = own(x, {shown})"
    assert explanation["v"].inputs == ("x", shown)
    assert explanation[shown].shares[0].words.startswith(f"J the Jacobian of v by {shown}:")
    np.testing.assert_array_equal(explanation[shown].value, [2, 2])
    assert explanation.ok


def test_the_gradient_is_not_said_to_point_downhill():
    """2 (ŷ − y)/N points away from the target."""
    explanation = explained(bh.linear(2), bh.squared_error, y=X)
    assert "twice the error" in explanation["z"].chain_in_words


def test_no_values_to_show_inside_jit():
    params = LESSON.init(jax.random.key(1), X)
    with pytest.raises(
        TypeError, match=r"explain: params, x and y .* a tracer; call explain outside jax.jit"
    ):
        jax.jit(
            lambda params: bh.explain(trained(LESSON, bh.cross_entropy), params, X, Y).difference
        )(params)


@pytest.mark.slow
def test_no_layers():
    explanation = explained(bh.serial(), bh.softmax_cross_entropy, y=Y % 2)
    assert [node.name for node in explanation.nodes] == ["x", "L"]


def test_one_layer_and_float32():
    explanation = explained(bh.linear(3), bh.softmax_cross_entropy, x=X.astype(np.float32))
    assert [node.name for node in explanation.nodes] == ["x", "w", "b", "z", "L"]
    assert explanation.ok
    assert explanation["w"].gradient.by_hand.dtype == np.float32


@pytest.mark.parametrize(
    ("error", "says", "changes"),
    [
        (
            TypeError,
            "explain: training should be a Training, with a net and a loss, got 3",
            {"training": 3},
        ),
        (TypeError, "x should be an array, got list", {"x": [[1.0, 2.0]]}),
        (TypeError, "x should be floating point", {"x": np.zeros((5, 2), np.int32)}),
        (ValueError, "x should be finite", {"x": np.full((5, 2), np.nan)}),
        (ValueError, "as many examples", {"y": Y[:3]}),
        (ValueError, "does not suit the params", {"x": np.zeros((5, 7))}),
        (ValueError, "params should be those of the net, but 0.w is missing", {"params": ()}),
        (ValueError, "labels from 0 to 2", {"y": Y + 3}),
    ],
)
def test_bad_input(error, says, changes):
    good = {
        "training": trained(LESSON, bh.cross_entropy),
        "params": LESSON.init(jax.random.key(1), X),
        "x": X,
        "y": Y,
    }
    with pytest.raises(error, match=says):
        bh.explain(**good | changes)


def test_a_backward_of_another_structure():
    net = wrong_linear(3, lambda p, x, dy: ((x.T @ dy, dy.sum(0)), dy @ p.w.T))
    with pytest.raises(
        ValueError, match=r"dparams of the structure of its params, .*Linear.*, got"
    ):
        explained(net, bh.softmax_cross_entropy)


def test_an_output_that_is_no_array():
    pair = bh.deterministic(
        lambda key, x: (),
        lambda p, x: ((x, x), None),
        lambda p, r, dy: ((), dy[0] + dy[1]),
        name="pair",
    )
    loss = bh.Loss(lambda prediction, y: (prediction[0].sum(), prediction), lambda r: r)
    with pytest.raises(TypeError, match="the output of pair should be an array, got tuple"):
        explained(pair, loss)
