import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import backhand as bh
from backhand import data
from backhand.reporting import Trained
from backhand.storage import parameters
from experiments import lab
from experiments.lab import Config
from tests.experiments.frame import carry_out

PICTURES = 40  # in the made-up test split


def made(name, losses=(0.9, 0.2, 0.3), wrong=4, confidence=0.9, **changes):
    """A made-up net: its validation losses by epoch, and what it makes of 40 test pictures."""
    scatter = np.linspace(-0.01, 0.01, PICTURES)
    p = np.tile(((1 - confidence) / 9), (PICTURES, 10))
    p[:, 3] = confidence + scatter
    facts = {"right": 1.0, "losses": 0.1 + scatter, "wrong": np.arange(PICTURES) < wrong, "p": p}
    history = {"val_loss": np.array(losses), "val_accuracy": np.full(3, 0.9)}
    return Trained(name, None, history, facts | changes)


def kept(*nets):
    return {net.name: net for net in nets}


def test_the_finding_is_that_nets_grow_confident_and_no_better():
    early = made("2 layers, early", confidence=0.8, wrong=5)
    finding, surer, deeper, beside = lab.questions(kept(made("1 layer"), early, made("2 layers")))
    assert finding == lab.OVERCONFIDENT
    assert [(c.a, c.b) for c in surer.contrasts] == [("2 layers, early", "2 layers")]
    assert [c.measure for c in beside] == [lab.ERROR, lab.LOSS]
    assert [(c.a, c.b) for c in deeper.contrasts] == [("1 layer", "2 layers")]
    assert deeper.verdict == deeper.unclear


@pytest.mark.parametrize(
    ("early", "verdict"),
    [
        ({"confidence": 0.8, "wrong": 30}, "better"),  # more confident, and more often right
        ({"confidence": 0.95}, "worse"),
        ({}, "unclear"),
        (None, "missing"),
    ],
)
def test_the_finding_is_less_otherwise(early, verdict):
    nets = [made("2 layers")] + ([made("2 layers, early", **early)] if early is not None else [])
    finding, surer, *_ = lab.questions(kept(*nets))
    assert finding == surer.verdict == getattr(surer, verdict)


@pytest.mark.parametrize(
    ("wrong", "verdict"), [((20, 4), "better"), ((4, 20), "worse"), ((4, 4), "unclear")]
)
def test_nets_are_ranked_only_if_the_pictures_tell_them_apart(wrong, verdict):
    nets = (made(name, wrong=w) for name, w in zip(("1 layer", "2 layers"), wrong, strict=True))
    _, _, deeper, _ = lab.questions(kept(*nets))
    assert deeper.verdict == getattr(deeper, verdict)


def test_wilsons_interval():
    """Of 8 out of 10 it is 49.02 to 94.33 % (Wilson, 1927); of none out of 10 it begins at 0."""
    assert lab.wilson(np.arange(10) < 8) == pytest.approx((49.02, 80, 94.33), abs=0.01)
    assert lab.wilson(np.zeros(10, bool)) == pytest.approx((0, 0, 27.75), abs=0.01)


def test_the_table_has_intervals_and_how_far_twins_came_apart():
    twin = made("1 layer, autodiff")
    twin.history["drift_params"] = np.array([1e-7, 3e-4, 2e-4])
    header, rows, _ = lab.results([made("1 layer"), twin])
    assert header == ("net", "training", "validation", "test", "|Δ|")
    assert rows == [
        ("1 layer", "100.0", "90.0", "90.0 [76.9, 96.0]", ""),
        ("1 layer, autodiff", "100.0", "90.0", "90.0 [76.9, 96.0]", "3e-04"),
    ]


def test_what_is_recorded_each_epoch():
    params = (bh.Linear(jnp.array([[1.0, -3.0]]), jnp.array([9.0, 0])), ())
    seen = lab.observe((*params, bh.Linear(jnp.array([[2.0], [0]]), jnp.array([0.0]))))
    np.testing.assert_array_equal(seen["max_w"], [3, 2])
    np.testing.assert_array_equal(seen["params"], [1, -3, 9, 0, 2, 0, 0])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate should be above 0, got 0.0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("batch_size", 0, "batch_size should be at least 1, got 0"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        Config(**{field: value})


def test_a_batch_larger_than_the_data(monkeypatch):
    split = SimpleNamespace(y=np.zeros(12))
    monkeypatch.setattr(data, "pictures", lambda *_: {"train": split})
    with pytest.raises(ValueError, match="at most the number of examples, 12, got 32"):
        lab.load(Config())


@pytest.mark.slow
def test_a_run_by_hand_and_by_autodiff(tmp_path, faults):
    """The bar: in float64, after 20 epochs, no parameter differs by more than 1e-9."""
    done = carry_out(lab, tmp_path, "--precision", "float64", "--epochs", 20)
    names = ["1 layer", "2 layers", "3 layers"]
    assert [name for name in done.results if "," not in name] == names
    for name in names:
        twin = done.results[f"{name}, autodiff"]
        assert twin["right"] == done.results[name]["right"]
    lines = (done.folder / "metrics.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["net"].endswith("autodiff")]
    assert len(records) == 3 * 20
    assert max(record["drift_params"] for record in records) <= 1e-9
    figures = {path.stem for path in (done.folder / "figures").iterdir()}
    drawn = {"val_loss", "loss", "val_accuracy", "drift_params", "drift_loss", "max-w"}
    assert figures == drawn | {f"weights-{i}" for i in (1, 2, 3)} | {"confusion", "mistakes"}
    assert faults(done.folder / "report.html") == []


@pytest.mark.slow
def test_one_gradient_and_the_lessons_loss(tmp_path):
    flags = "--gradient autodiff --loss cross_entropy --activation tanh --optimizer momentum"
    done = carry_out(lab, tmp_path, *flags.split(), "--hidden", 8, "--epochs", 2)
    assert done.status == 0
    assert [name for name in done.results if "early" not in name] == ["1 layer", "2 layers"]
    assert "By hand and by autodiff" not in done.html


@pytest.mark.slow
def test_accuracy_of_the_defaults(tmp_path):
    """One seed, so a little below the bars for the mean of five: 96, 97.5 and 97.5 %."""
    done = carry_out(lab, tmp_path, "--gradient", "manual")
    arrays, _ = parameters.read(done.folder / "arrays.safetensors")
    for name, least in {"1 layer": 0.95, "2 layers": 0.965, "3 layers": 0.965}.items():
        assert 1 - arrays[f"{name}.wrong"].mean() >= least


@pytest.mark.slow
def test_interrupted_it_reports_on_what_is_done(tmp_path, monkeypatch):
    fit = bh.fit

    def interrupted(training, *given, **options):
        if len(training.net.parts) > 1:
            raise KeyboardInterrupt
        return fit(training, *given, **options)

    monkeypatch.setattr(bh, "fit", interrupted)
    done = carry_out(lab, tmp_path, "--epochs", 2)
    assert done.status == 130
    assert "1 layer, autodiff" in done.html
    assert "2 layers" not in done.html
