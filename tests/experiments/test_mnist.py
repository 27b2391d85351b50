import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import backhand as bh
from backhand import data, runs
from backhand.models.perceptron import ACTIVATIONS
from backhand.storage import parameters as files
from experiments import mnist
from experiments.mnist import NONE, Net, Plan

ONE, PLAIN, SHAPED = Plan(1, NONE), Plan(2, NONE), Plan(2, "sigmoid")


def small(tmp_path, **changes) -> mnist.Config:
    asked = {
        "dataset": "digits",
        "hidden": (4, 3),
        "activations": ("sigmoid", "relu"),
        "seeds": 2,
        "epochs": 2,
    }
    return mnist.Config(**{**asked, "batch_size": 64, "out": tmp_path} | changes)


def carry_out(config: mnist.Config) -> runs.Run:
    run = runs.Run.start("mnist", config)
    mnist.run(config, run)
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Every depth to 3, with two activations and with none, on the small digits."""
    return carry_out(small(tmp_path_factory.mktemp("mnist")))


@pytest.fixture(scope="module")
def digits():
    return data.digits(0)


def params_of(run, plan, net, x, seed):
    return files.arrays_as(
        net.init(jax.random.key(0), x),
        {k: v[seed] for k, v in run.arrays("params.safetensors").items()},
        f"{plan}.",
    )


def test_every_net_is_trained_and_every_epoch_logged(done):
    nets = mnist.read(done)
    between = [Plan(depth, name) for depth in (2, 3) for name in (NONE, "sigmoid", "relu")]
    assert [net.plan for net in nets] == [ONE, *between, Plan(3, "relu", shuffled=True)]
    assert [(net.widths, net.parameters) for net in nets[:2]] == [("64-10", 650), ("64-4-10", 310)]
    for net in nets:
        hidden = 0 if net.plan.between == NONE else net.plan.layers - 1
        for key in ("loss", "accuracy", "val_loss", "val_accuracy", "gap"):
            assert net.history[key].shape == (2, 3)
        assert net.history["max_w"].shape == net.history["gradient_norm"].shape == (2, 3, net.plan.layers)
        assert net.history["dead"].shape == net.history["shut"].shape == (2, 3, hidden)
        np.testing.assert_allclose(net.history["gap"], net.history["val_loss"] - net.history["loss"])
    assert [m["epoch"] for m in done.metrics()] == [0, 1, 2] * 2 * len(nets)


@pytest.mark.parametrize("plan", [ONE, SHAPED, Plan(3, "relu", shuffled=True)], ids=str)
def test_what_is_logged_is_so_before_training_and_after_it(done, digits, plan):
    """By autodiff and numpy, from the first weights and the saved ones; the control's labels are its own."""
    net, logged = mnist.network(done.config, plan, 10), mnist.find(mnist.read(done), *plan)
    (x, y), (val_x, val_y), (test_x, test_y) = digits.splits.values()
    for seed in range(2):
        labels = mnist.shuffled(y, seed) if plan.shuffled else y

        def loss(params, x=x, labels=labels):
            return bh.softmax_cross_entropy.forward(net.apply(params, x), labels)[0]

        first = net.init(jax.random.split(jax.random.key(seed))[0], x)
        for epoch, params in {0: first, 2: params_of(done, plan, net, x, seed)}.items():
            layers = [p for p in jax.tree.map(np.asarray, jax.grad(loss)(params)) if p != ()]
            lengths = [np.sqrt((dp.w**2).sum() + (dp.b**2).sum()) for dp in layers]
            seen = {key: values[seed, epoch] for key, values in logged.history.items()}
            np.testing.assert_allclose(seen["gradient_norm"], lengths, rtol=1e-4)
            largest = [float(abs(p.w).max()) for p in params if p != ()]
            np.testing.assert_allclose(seen["max_w"], largest, rtol=1e-6)
            assert seen["loss"] == pytest.approx(float(loss(params)), rel=1e-4)
            assert seen["val_accuracy"] == pytest.approx(float(bh.accuracy(net.apply(params, val_x), val_y)))
        right = float(bh.accuracy(net.apply(params, test_x), test_y))
        assert logged.test["accuracy"][seed] == pytest.approx(right)


def test_shuffled_labels_say_nothing(digits):
    """No class has more of one label than of another."""
    y = digits["train"].y
    labels = mnist.shuffled(y, 0)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, labels), 1)
    assert np.ptp(counts, axis=1).max() == 1
    assert (labels != mnist.shuffled(y, 1)).any()
    np.testing.assert_array_equal(labels, mnist.shuffled(y, 0))


def test_units_dead_and_slopes_shut_by_construction():
    """Of 3 relu units one is never on, one on for half of the images; of 3 sigmoids one is at its end for half."""
    images = jnp.array([[-1.0], [1.0], [-1.0], [1.0]], jnp.float32)
    w, b = jnp.array([[0.0, 9.0, 0.0]], jnp.float32), jnp.array([-1.0, 0.0, 1.0], jnp.float32)
    out = bh.Linear(jnp.ones((3, 2), jnp.float32), jnp.zeros(2, jnp.float32))
    for activation, shut, dead in ((bh.relu, 6 / 12, 1 / 3), (bh.sigmoid, 4 / 12, 1 / 3)):
        look = mnist.watch(bh.serial(bh.linear(3), activation, bh.linear(2)), bh.softmax_cross_entropy)
        seen = look((bh.Linear(w, b), (), out), images, jnp.array([0, 1, 0, 1]), images)
        assert seen["shut"] == [pytest.approx(shut)]
        assert seen["dead"] == [pytest.approx(dead)]
    assert seen["max_w"] == [9, 1]


def test_slopes():
    steepest = {
        name: float(mnist.steepest(ACTIVATIONS[name][0])) for name in ("sigmoid", "tanh", "relu", "gelu")
    }
    assert steepest == pytest.approx({"sigmoid": 0.25, "tanh": 1, "relu": 1, "gelu": 1.129}, abs=1e-3)
    assert [name for name in ACTIVATIONS if mnist.flat_both_ways(name)] == ["tanh", "sigmoid"]


def test_the_report_has_every_picture(done):
    html = (done.folder / "report.html").read_text()
    figures = {p.stem for p in (done.folder / "figures").iterdir()}
    by_depth = {f"{kind}-{depth}" for kind in ("test-error", "learning") for depth in (2, 3)}
    assert by_depth | {"gradient-first", "gradient-last", "max-w-1", "max-w-3", "dead", "control"} <= figures
    assert html.count("<img") == len(re.findall(r'alt="[^"]{20,}"', html)) == len(figures)
    for question in ("Does the activation", "Are 2 or 3 layers", "What goes wrong", "How do the weights"):
        assert f"<h2>{question}" in html
    assert done.receipt["params_sha256"] in html


def made(layers, between, test, *, shuffled=False, **changes) -> Net:
    """A made-up net of three seeds that scatter little, trained for 3 epochs; `test` is the percentage wrong."""
    scatter = np.array([-0.01, 0.0, 0.01])
    about: dict[str, Any] = {
        "training": test,
        "validation": test,
        "val_loss": [2.3, 0.5, 0.3, 0.3],
        "reach": 0.5,
    }
    about |= {"dead": 0, "shut": 0, "gap": 0.1, "max_w": (1, 2)} | changes

    start, end = about["max_w"]

    def seeds(*values):
        return np.asarray(values, np.float64) * (1 + scatter[:, None])

    right = {split: 1 - seeds(*[about[split]] * 4) / 100 for split in ("training", "validation")}
    hidden = (3, 4, 0 if between == NONE else layers - 1)
    history = {
        "accuracy": right["training"],
        "val_accuracy": right["validation"],
        "val_loss": seeds(*about["val_loss"]),
        "gap": seeds(*[about["gap"]] * 4),
        "gradient_norm": np.stack([seeds(*[about["reach"]] * 4), *[np.ones((3, 4))] * (layers - 1)], 2),
        "max_w": np.stack([seeds(*np.linspace(start, end, 4))] * layers, 2),
        "dead": np.full(hidden, about["dead"] / 100),
        "shut": np.full(hidden, about["shut"] / 100),
    }
    accuracy = 1 - (test + scatter) / 100
    return Net(Plan(layers, between, shuffled), "4-2", 10, history, {"loss": accuracy, "accuracy": accuracy})


TEXTBOOK = [
    made(1, NONE, 8, training=7),
    made(2, NONE, 8),
    made(2, "sigmoid", 3, reach=0.2),
    made(2, "relu", 2, max_w=(0.3, 2.4)),
    made(3, NONE, 8.001),
    made(3, "sigmoid", 3.5, reach=0.05, val_loss=[2.3, 1, 0.4, 0.2], shut=5),
    made(3, "relu", 1.5, gap=0.2, dead=3, val_loss=[2.3, 0.2, 0.1, 0.2], max_w=(0.5, 1.5)),
    made(3, "relu", 90, shuffled=True, training=60, max_w=(0.5, 4)),
]
# Where an activation is of no use, nor are layers, depth does no harm, and the shuffled labels give something away.
OTHERWISE = [
    made(1, NONE, 2),
    made(2, NONE, 1, max_w=(2, 1)),
    made(2, "tanh", 3, reach=0.1, gap=0.3),
    made(3, NONE, 4),
    made(3, "tanh", 2.9, reach=0.5, gap=0.2),
    made(3, "tanh", 70, shuffled=True, max_w=(1, 1.5)),
]


def test_words_on_the_activation():
    short, two, three = mnist.activation_in_words(TEXTBOOK)
    assert short.startswith("The activation between layers matters. Linear maps")
    assert two.startswith(
        "With nothing between them 2 layers get 8.00 ± 0.01 % of the test images wrong, not clearly "
    )
    assert "other than the 8.00 ± 0.01 % of 1 layer (+0.00 ± 0.01 points)" in two
    assert "from 2.00 ± 0.01 % (relu) to 3.00 ± 0.01 % (sigmoid), a clear difference (+1.00 ± 0.01)" in two
    assert three.endswith("Clearly better than nothing: sigmoid and relu.")
    short, two, three = mnist.activation_in_words(OTHERWISE)
    assert short.startswith("The activation between layers matters with 3 layers. Linear")
    assert "2 layers get 1.00 ± 0.01 % of the test images wrong, clearly less than the 2.00" in two
    assert two.endswith("With tanh it is 3.00 ± 0.01 %. Clearly better than nothing: none of them.")
    assert "3 layers get 4.00 ± 0.01 % of the test images wrong, clearly more than the 2.00" in three
    assert mnist.activation_in_words(OTHERWISE[:3])[0].startswith(
        "The activation between layers makes no clear"
    )
    assert "nothing to compare" in mnist.activation_in_words(TEXTBOOK[:2])[0]


def test_words_on_depth():
    said = mnist.depth_in_words(TEXTBOOK)
    assert said.startswith("All 3 layers are of use")
    assert "From 1 layer to 2 the test error falls, from 8.00 ± 0.01 % to 2.00 ± 0.01 % (−6.00 ± 0.01" in said
    assert "from 2 layers to 3: it rises with sigmoid; it falls with relu." in said
    assert [row[0] for row in mnist.depth_table(TEXTBOOK)[1]] == [
        "1 layer",
        "2 layers (relu)",
        "3 layers (relu)",
    ]
    assert mnist.depth_in_words(OTHERWISE).startswith("1 layer is enough")
    assert mnist.depth_in_words(TEXTBOOK[:4]).startswith("All 2 layers are of use")
    same = [*TEXTBOOK[:4], made(3, "relu", 2.001)]
    assert mnist.depth_in_words(same).startswith("2 layers are enough")
    assert "it does not clearly change with relu" in mnist.depth_in_words(same)
    assert "nothing to compare" in mnist.depth_in_words(TEXTBOOK[:1])


def test_words_on_what_goes_wrong():
    assert mnist.worse_in_short(TEXTBOOK) == (
        "What goes wrong from 2 layers to 3: the first layer's gradient shrinks beside the last one's with sigmoid; "
        "more epochs are needed with sigmoid; more units are dead with relu; the gap widens with relu; the test error "
        "rises with sigmoid."
    )
    wrong = mnist.worse_in_short(OTHERWISE)
    assert wrong == "What goes wrong from 2 layers to 3: the test error rises with nothing between."
    better = [*OTHERWISE[:3], OTHERWISE[4]]
    assert mnist.worse_in_short(better) == "From 2 layers to 3 nothing measured goes wrong."
    assert mnist.worse_in_short(TEXTBOOK[:4]) == mnist.spread_in_words(TEXTBOOK[:4]) == ""


def test_words_on_gradients_speed_units_gap_and_seeds():
    gradients, speed = mnist.gradients_in_words(TEXTBOOK), mnist.speed_in_words(TEXTBOOK)
    assert "sigmoid 0.20 ± 0.00 → 0.05 ± 0.00; relu 0.50" in gradients
    assert "From 2 layers to 3 it shrinks with sigmoid; it does not clearly change with relu." in gradients
    assert "Least comes through with 3 layers (sigmoid), whose slopes, 0.25 at most, multiply" in gradients
    assert "All of these come to a validation loss of 0.303, from every seed." in speed
    assert "sigmoid 2.0 ± 0.0 → 3.0 ± 0.0; relu 2.0 ± 0.0 → 1.0 ± 0.0." in speed
    assert "From 2 layers to 3 it rises with sigmoid; it falls with relu." in speed
    units, generalisation = mnist.units_in_words(TEXTBOOK), mnist.gap_in_words(TEXTBOOK)
    assert (
        "in the end in 3 layers (relu), 3.00 ± 0.00 % of a layer. Flat at both ends, sigmoid can saturate"
        in units
    )
    assert "at most 5.00 ± 0.00 % of the slopes of a layer are shut, in 3 layers (sigmoid)" in units
    assert "earliest in 2 layers (sigmoid), after epoch 2.0 ± 0.0 of 3" in generalisation
    seeds = mnist.spread_in_words(TEXTBOOK)
    assert "0.01 points with 2 layers and 0.01 with 3: so few seeds don't tell them apart." in seeds
    assert "no unit of any net is dead" in mnist.units_in_words(OTHERWISE)
    still = [made(2, "relu", 2, val_loss=[2.3, 0.5, 0.4, 0.3])]
    assert "With none of them is the validation loss lowest before" in mnist.gap_in_words(still)
    assert mnist.speed_in_words(still).endswith("with 2 layers: relu 3.0 ± 0.0.")
    assert mnist.trouble(None, TEXTBOOK[:2]) == [
        "<p>No net with an activation was trained to the end: nothing to see.</p>"
    ]


def test_epochs_to_a_level():
    net = made(2, "relu", 2, val_loss=[2.3, 0.5, 0.3, 0.25])
    assert mnist.epochs_to(net, 0.4).tolist() == [2, 2, 2]
    assert mnist.epochs_to(net, 0.299).tolist() == [2, 3, 3]
    assert mnist.epochs_to(net, 0.25).tolist() == [3, 3, 4]
    assert mnist.common_level([net, made(3, "relu", 2)]) == pytest.approx(0.303)


def test_words_on_the_weights():
    said = mnist.weights_in_words(TEXTBOOK)
    assert "clearly grows in 16 of 16 layers" in said
    assert "layer 1 of the net of 2 layers (relu), from 0.30 ± 0.00 to 2.40 ± 0.02" in said
    assert "rather than 1.50 ± 0.02, clearly larger." in said
    assert "clearly grows in 9 of 11 layers" in mnist.weights_in_words(OTHERWISE)
    assert "clearly smaller" in mnist.weights_in_words(OTHERWISE)


def test_words_on_the_control():
    said = mnist.control_in_words(TEXTBOOK, 10)
    assert said.startswith("3 layers (relu) trained on labels that say nothing")
    assert "gets 10.00 ± 0.01 % of the test images right: chance, which is 10 %, within 1 point." in said
    assert said.endswith("gets 40.00 ± 0.60 % right in the end: what is above chance it has by heart.")
    said = mnist.control_in_words(OTHERWISE, 10)
    assert "+20.00 ± 0.01 points from chance, which is 10 %. Something other than the labels tells." in said
    said = mnist.control_in_words([made(2, "relu", 90)._replace(plan=Plan(2, "relu", True))], 10)
    assert said.endswith("10.00 ± 0.90 % right in the end.")
    scattered = TEXTBOOK[-1]._replace(test={"accuracy": np.array([0.08, 0.12, 0.16])})
    assert "+2.00 ± 2.31 points from chance, which is 10 %, and not clearly so" in mnist.control_in_words(
        [scattered], 10
    )
    assert "did not get to its end" in mnist.control_in_words(TEXTBOOK[:-1], 10)


def test_the_table_fits_a_terminal(capsys):
    wide = made(3, "sigmoid", 90, shuffled=True, gap=-0.1)
    wide = wide._replace(test={"accuracy": np.array([0.3, 0.5, 0.9])})
    header, *rows = mnist.table_of([wide])
    runs.print_table(header, rows)
    assert "…" not in capsys.readouterr().out
    assert rows[0][0] == "3 layers (sigmoid, shuffled labels)"
    assert rows[0][1] == "43.33 ± 30.55"


def test_the_conclusion():
    said = mnist.conclusion(TEXTBOOK, 10_000)
    assert said.startswith(
        "Best in validation, 3 layers (relu) gets 1.50 ± 0.01 % of 10,000 test images wrong; 1 layer gets "
        "8.00 ± 0.01 %. The activation between layers matters. All 3 layers are of use"
    )
    assert mnist.conclusion(TEXTBOOK[:1], 10_000) == (
        "Best in validation, 1 layer gets 8.00 ± 0.01 % of 10,000 test images wrong. "
    )


def test_interrupted_it_reports_on_the_nets_that_are_done(tmp_path, monkeypatch, capsys):
    train = mnist.train

    def interrupted(config, run, splits, plan, *rest):
        if plan == SHAPED:
            raise KeyboardInterrupt
        return train(config, run, splits, plan, *rest)

    monkeypatch.setattr(mnist, "train", interrupted)
    config = small(tmp_path)
    run = runs.Run.start("mnist", config)
    with pytest.raises(KeyboardInterrupt):
        mnist.run(config, run)
    assert [net.plan for net in mnist.read(run)] == [ONE, PLAIN]
    html = (run.folder / "report.html").read_text()
    assert "Stopped when 2 of 8 nets were trained." in html
    assert "nothing to compare" in html
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("report.html")
    assert max(map(len, out.splitlines()[:-2])) <= 100
    assert "…" not in out
    assert "\x1b" not in out + err  # this is no terminal


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden", (), "hidden should be one at least, got none"),
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("activations", (), "activations should be one at least, got none"),
        ("activations", ("relu", "relu"), "activations should be different ones"),
        ("seeds", 1, "seeds should be at least 2, got 1"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("batch_size", 0, "batch_size should be at least 1, got 0"),
        ("learning_rate", 1e39, "learning_rate should be a number float32 can work with, got 1e\\+39"),
        ("seed", 2**32 - 2, "seed should be below 2\\*\\*32, got 4294967294, and 4 above it"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        mnist.Config(**{field: value})


def test_a_batch_larger_than_the_data(tmp_path):
    with pytest.raises(runs.RefusedError, match="at most 1257, all training images, got 5000"):
        carry_out(small(tmp_path, batch_size=5000))


def test_the_report_in_a_browser(done, faults):
    assert faults(done.folder / "report.html") == []
