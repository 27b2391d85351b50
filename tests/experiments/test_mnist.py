from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import backhand as bh
from backhand import data
from backhand.models import ACTIVATIONS
from backhand.reporting import Trained
from backhand.storage import parameters
from experiments import mnist
from experiments.mnist import NONE, Config, Plan
from tests.experiments.frame import carry_out


def training(*parts):
    return bh.Training(bh.serial(*parts), bh.softmax_cross_entropy, optax.sgd(0.1))


def test_each_depth_has_each_activation_and_none_and_the_last_net_a_control():
    plans = mnist.planned(Config(activations=("tanh", "relu")))
    deeper = [Plan(depth, between) for depth in (2, 3) for between in (NONE, "tanh", "relu")]
    assert plans == [Plan(1, NONE), *deeper, Plan(3, "relu", shuffled=True)]
    assert [str(plans[i]) for i in (0, 1, -1)] == [
        "1 layer",
        "2 layers, none",
        "3 layers, relu, shuffled",
    ]


def test_shuffled_labels_say_nothing():
    """No class has more of one label than of another, though some classes are larger."""
    y = np.random.default_rng(0).choice(10, 997, p=np.arange(1, 11) / 55)
    labels = mnist.shuffled(y, 0)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, labels), 1)
    assert np.ptp(counts, axis=1).max() == 1
    assert (labels != mnist.shuffled(y, 1)).any()
    np.testing.assert_array_equal(labels, mnist.shuffled(y, 0))


def test_units_dead_and_slopes_shut_by_construction():
    """One of 3 relus is never on, one on half the pictures; one of 3 sigmoids saturates on half."""
    x, y = jnp.array([[-1.0], [1.0], [-1.0], [1.0]], jnp.float32), jnp.array([0, 1, 0, 1])
    w, b = jnp.array([[0.0, 9.0, 0.0]], jnp.float32), jnp.array([-1.0, 0.0, 1.0], jnp.float32)
    out = bh.Linear(jnp.ones((3, 2), jnp.float32), jnp.zeros(2, jnp.float32))
    for activation, shut, dead in ((bh.relu, 6 / 12, 1 / 3), (bh.sigmoid, 4 / 12, 1 / 3)):
        watch = mnist.watching(training(bh.linear(3), activation, bh.linear(2)), x, y)
        seen = watch((bh.Linear(w, b), (), out))
        np.testing.assert_allclose(seen["shut"], [shut])
        np.testing.assert_allclose(seen["dead"], [dead])
    np.testing.assert_array_equal(seen["max_w"], [9, 1])


def test_the_gradient_is_that_of_each_layer():
    x, w, u, b = map(
        jnp.float32, np.split(np.random.default_rng(0).normal(size=(16, 3)), [4, 7, 10])
    )
    y, net = jnp.array([0, 1, 2, 0]), training(bh.linear(3), bh.tanh, bh.linear(3))
    params = (bh.Linear(w, b[0]), (), bh.Linear(u, b[1]))
    dparams = jax.grad(lambda p: net.loss.forward(net.net.apply(p, x), y)[0])(params)
    lengths = [np.sqrt((dp.w**2).sum() + (dp.b**2).sum()) for dp in (dparams[0], dparams[2])]
    np.testing.assert_allclose(mnist.watching(net, x, y)(params)["gradient"], lengths, rtol=1e-5)


def test_the_steepest_slopes():
    names = ("sigmoid", "tanh", "relu", "gelu")
    steepest = {name: mnist.steepest(ACTIVATIONS[name][0]) for name in names}
    known = {"sigmoid": 0.25, "tanh": 1, "relu": 1, "gelu": 1.129}
    assert steepest == pytest.approx(known, abs=1e-3)


def made(layers, between, test, **changes):
    """A made-up net of three seeds that scatter little; `test` is the percentage wrong."""
    about = {"val_loss": [2.3, 0.5, 0.3], "reach": 0.5, "dead": 0, "gap": 0.1, "max_w": (1, 2)}
    about |= changes
    scatter = 1 + np.array([-0.01, 0.0, 0.01])

    def seeds(*values):
        return np.asarray(values, np.float64) * scatter[:, None]

    right = 1 - test * scatter / 100
    start, end = (np.tile(seeds(value), layers) for value in about["max_w"])
    gradient = np.ones((3, layers))
    gradient[:, 0] = about["reach"] * scatter
    history = {
        "val_accuracy": np.tile(right[:, None], 3),
        "val_loss": seeds(*about["val_loss"]),
        "dead": np.full((3, 3, max(layers - 1, 1)), about["dead"] / 100) * scatter[:, None, None],
        "max_w": np.stack([start, start, end], 1),
    }
    facts = {
        "layers": layers,
        "test_accuracy": right,
        "gap": about["gap"] * scatter,
        "first_gradient": gradient,
        "first_max_w": start,
    }
    return Plan(layers, between), Trained(f"{layers} layers, {between}", None, history, facts)


TEXTBOOK = [
    made(1, NONE, 7.4),
    made(2, NONE, 7.6),
    made(2, "sigmoid", 3.0, val_loss=[2.3, 0.25, 0.2]),
    made(2, "relu", 2.0, val_loss=[2.3, 0.2, 0.2]),
    made(3, NONE, 7.7),
    made(3, "sigmoid", 3.5, reach=0.05, val_loss=[2.3, 1, 0.25], gap=0.2, dead=1),
    made(3, "relu", 2.001, reach=0.1, val_loss=[2.3, 0.35, 0.2], gap=0.3, dead=3),
]
# No activation is of use, nor are layers, and depth does no harm.
OTHERWISE = [
    made(1, NONE, 2),
    made(2, NONE, 1, max_w=(2, 1)),
    made(2, "tanh", 3, reach=0.1, gap=0.3),
    made(3, NONE, 1),
    made(3, "tanh", 2.5, reach=0.5, gap=0.2, val_loss=[2.3, 0.29, 0.2]),
]


def answers(nets):
    return {name: question.verdict for name, question in mnist.questions(dict(nets)).items()}


def test_answers_for_the_textbook():
    questions = mnist.questions(dict(TEXTBOOK))
    expected = {
        "matters": "better", "enough": "unclear", "reach": "worse", "speed": "worse",
        "dead": "worse", "gap": "worse", "test": "mixed", "grows": "better",
    }  # fmt: skip
    for name, answer in expected.items():
        assert questions[name].verdict == getattr(questions[name], answer), name
    assert [(c.a, c.b) for c in questions["enough"].contrasts] == [
        ("2 layers, relu", "3 layers, relu")
    ]
    assert [c.difference.value for c in questions["speed"].contrasts] == [1, 1]


def test_answers_where_it_is_otherwise():
    questions = mnist.questions(dict(OTHERWISE))
    expected = {
        "matters": "worse", "enough": "better", "reach": "better", "speed": "better",
        "dead": "unclear", "gap": "better", "test": "better", "grows": "mixed",
    }  # fmt: skip
    for name, answer in expected.items():
        assert questions[name].verdict == getattr(questions[name], answer), name


def test_answers_of_a_run_that_was_stopped():
    for few in (TEXTBOOK[:1], TEXTBOOK[:2], TEXTBOOK[:4]):
        questions = mnist.questions(dict(few))
        for name in ("reach", "speed", "dead", "gap", "test"):
            assert questions[name].verdict == questions[name].missing
        assert questions["enough"].verdict == ""
        assert questions["grows"].verdict == questions["grows"].better
    assert questions["matters"].verdict == questions["matters"].better


def test_whether_the_control_is_at_chance():
    for test, answer in ((90, mnist.CHANCE), (90.9, mnist.CHANCE), (70, mnist.NOT_CHANCE)):
        assert mnist.learnt(made(3, "relu", test)[1], chance=10) == answer


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden", (), "hidden should be one or more, got none"),
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("activations", (), "activations should be one or more, each once, got none"),
        ("activations", ("relu", "relu"), "each once, got relu relu"),
        ("seeds", 1, "seeds should be at least 2, got 1"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("batch_size", 0, "batch_size should be at least 1, got 0"),
        (
            "learning_rate",
            1e39,
            "learning_rate should be a number float32 can work with, got 1e\\+39",
        ),
        ("seed", 2**32 - 2, "seed should be below 2\\*\\*32, got 4294967294, and 4 above it"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        Config(**{field: value})


def test_a_batch_larger_than_the_data(monkeypatch):
    split = SimpleNamespace(y=np.zeros(12))
    monkeypatch.setattr(data, "pictures", lambda *_: {"train": split})
    with pytest.raises(ValueError, match="at most the number of examples, 12, got 128"):
        mnist.load(Config())


SMALL = (
    "--dataset digits --hidden 4 3 --activations sigmoid relu --seeds 2 --epochs 2 --batch-size 64"
)


@pytest.mark.slow
def test_a_run(tmp_path, capsys, faults):
    """What is reported of a net is so, by numpy, of its saved parameters."""
    done = carry_out(mnist, tmp_path, *SMALL.split())
    config = Config(hidden=(4, 3), activations=("sigmoid", "relu"))
    assert list(done.results) == [str(plan) for plan in mnist.planned(config)]
    arrays, _ = parameters.read(done.folder / "params.safetensors")
    x, y = data.digits(0)["test"]
    for name, between in (
        ("3 layers, none", lambda z: z),
        ("3 layers, relu", lambda z: np.maximum(z, 0)),
    ):
        for seed in range(2):
            z = x
            for i, part in enumerate([0, 1, 2] if name.endswith("none") else [0, 2, 4]):
                w, b = (arrays[f"{name}.{part}.{leaf}"][seed] for leaf in "wb")
                z = (between(z) if i else z) @ w + b
            right = (z.argmax(1) == y).mean()
            assert done.results[name]["test_accuracy"][seed] == pytest.approx(right)
    figures = {path.stem for path in (done.folder / "figures").iterdir()}
    assert {"test-error", "2-layers", "layer-3", "dead-units", "loss-gap", "control"} <= figures
    *table, _, _ = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in table) <= 80
    assert faults(done.folder / "report.html") == []


@pytest.mark.slow
def test_interrupted_it_reports_on_the_nets_that_are_done(tmp_path, monkeypatch):
    network = mnist.network

    def interrupted(config, plan, classes):
        if plan == Plan(2, "sigmoid"):
            raise KeyboardInterrupt
        return network(config, plan, classes)

    monkeypatch.setattr(mnist, "network", interrupted)
    done = carry_out(mnist, tmp_path, *SMALL.split())
    assert done.status == 130
    assert list(done.results) == ["1 layer", "2 layers, none"]
    assert "2 layers, none" in done.html
