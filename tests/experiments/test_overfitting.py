import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from backhand import runs
from backhand.models import perceptron
from backhand.reporting import Trained
from experiments import overfitting
from experiments.overfitting import GRID, Config, truth


def test_samples_are_drawn_from_the_curve_and_the_same_tomorrow():
    config = Config(resamples=100, noise=0.1)
    data = overfitting.load(config)
    for split, count in {"train": 320, "validation": 320}.items():
        x, y = data[split]
        assert x.shape == y.shape == (100, count, 1)
        assert np.abs(x).max() <= np.pi
        assert (y - truth(x)).std() == pytest.approx(0.1, rel=0.05)
    assert overfitting.load(config).sha256 == data.sha256
    assert overfitting.load(Config(resamples=100, noise=0.1, seed=1)).sha256 != data.sha256


def test_scores_of_a_known_history():
    validation = np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    test = np.arange(6.0).reshape(2, 3)
    past = {"train_loss": -test, "val_loss": validation, "test_loss": test}
    found = {name: values.tolist() for name, values in overfitting.scores(past).items()}
    ends = {"train": [-2, -5], "val": [2, 3], "test": [2, 5]}
    assert found == ends | {"turn": [2, 1], "stopped": [1, 3]}


def test_bias_and_variance_are_unbiased_and_sum_to_the_error():
    rng = np.random.default_rng(0)
    fit = (0.5 * truth(GRID) + rng.normal(size=(12, len(GRID)))).astype(np.float32)
    net = Trained("net", None, {}, {"fit": fit})
    bias, variance = overfitting.terms(net)
    assert variance.mean() == pytest.approx(fit.var(0, ddof=1).mean(), rel=1e-5)
    missed = ((fit.mean(0) - truth(GRID)) ** 2).mean()
    assert bias.mean() == pytest.approx(missed - variance.mean() / 12, rel=1e-5)
    np.testing.assert_allclose(bias + variance, ((fit - truth(GRID)) ** 2).mean(1), rtol=1e-5)


def net(width, points, train, test, stopped):
    """A made-up net of three training sets that differ little."""
    scatter = np.array([-0.01, 0.0, 0.01])
    losses = {"train": train, "val": test, "test": test}
    facts = {name: loss + scatter for name, loss in losses.items()}
    facts |= {"stopped": stopped + 0.5 * scatter, "turn": np.array([1, 2, 2])}
    facts |= {"points": points, "depth": 1, "width": width, "weights": 3 * width + 1}
    past = {f"{name}_loss": np.tile(facts[name][:, None], (1, 2)) for name in losses}
    fit = truth(GRID) + scatter[:, None]
    return Trained(f"1-{width}-1, {points}", None, past, facts | {"fit": fit})


SMALLEST = [net(1, 20, 0.6, 0.9, 0.9), net(1, 80, 0.7, 0.75, 0.75)]
TEXTBOOK = [net(32, 20, 0.05, 0.6, 0.4), net(32, 80, 0.24, 0.3, 0.3)]


def verdicts(small, large):
    return [question.verdict for question in overfitting.questions(small, large)]


def test_answers_for_the_textbook():
    stop, more, under = verdicts(SMALLEST, TEXTBOOK)
    assert stop == "Whether the largest net overfits depends on the size of the sample."
    assert more == "The largest net overfits larger samples less than the smallest one."
    assert under == "The smallest net underfits: even the largest does better on new points."


def test_answers_where_it_is_otherwise():
    hurt = [net(32, 20, 0.5, 0.95, 1.1), net(32, 80, 0.5, 0.9, 1.0)]
    stop, more, under = verdicts(SMALLEST, hurt)
    assert stop.startswith("The largest net does not overfit")
    assert more.startswith("The largest net overfits larger samples more")
    assert under.startswith("The smallest net does not underfit")


def test_answers_where_nothing_is_compared():
    one = [net(8, 20, 0.2, 0.5, 0.4)]
    stop, more, under = verdicts(one, one)
    assert stop.startswith("The largest net overfits")
    assert "one size" in more
    assert "one net" in under


@pytest.mark.slow
@pytest.mark.parametrize(
    ("large", "finding"),
    [
        (TEXTBOOK, overfitting.FINDING),
        ([SMALLEST[0], TEXTBOOK[1]], "The largest net does not clearly"),
    ],
)
def test_the_finding_is_chosen_by_verdicts(large, finding):
    config = Config(sizes=(20, 80), resamples=3)
    kept = {n.name: n for n in (*SMALLEST, *large)}
    run = SimpleNamespace(kept=kept, figure=lambda stem, drawing, wide=False: f"<{stem}>")
    report = overfitting.report(config, run, overfitting.load(config))
    assert report.finding.startswith(finding)
    assert report.picture == "<capacity>"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("widths", (), "widths should be one or more, each once, got none"),
        ("depths", (1, 1), "depths should be one or more, each once, got 1 1"),
        ("widths", (0,), "widths should be at least 1, got 0"),
        ("sizes", (20, 30), "sizes should divide the largest, 30, got 20"),
        ("resamples", 2, "resamples should be at least 3, got 2"),
        ("noise", 0.0, "noise should be above 0, got 0.0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("held_out", 0, "held_out should be at least 1, got 0"),
        ("batch_size", 321, "batch_size should be at most the number of examples, 320, got 321"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        Config(**{field: value})


@pytest.mark.slow
def test_a_run(tmp_path, monkeypatch, capsys, faults):
    """Each net's losses are those of its params on its own points, though small samples repeat."""
    flags = (
        "--widths 1 3 --depths 1 --sizes 5 10 --resamples 3 --held-out 20 --batch-size 5 --epochs 4"
    )
    monkeypatch.setattr(sys, "argv", ["overfitting.py", "--out", str(tmp_path), *flags.split()])
    seen = []
    report = lambda *given: seen.append(given[1]) or overfitting.report(*given)  # noqa: E731
    runs.main(Config, overfitting.train, report, load=overfitting.load, description="")
    (run,) = seen
    assert list(run.kept) == ["1-1-1, 5", "1-1-1, 10", "1-3-1, 5", "1-3-1, 10"]
    data, apply = overfitting.load(run.config), jax.vmap(perceptron((3,), 1).apply)
    for net in list(run.kept.values())[2:]:
        for split, name, count in (
            ("train", "train", net.facts["points"]),
            ("validation", "val", 20),
        ):
            x, y = (a[:, :count] for a in data[split])
            loss = ((np.asarray(apply(net.params, x)) - y) ** 2).mean((1, 2))
            np.testing.assert_allclose(net.facts[name], loss, rtol=1e-4)
        error = ((net.facts["fit"] - truth(GRID)) ** 2).mean(1)
        np.testing.assert_allclose(net.facts["test"], error + 0.25, rtol=1e-4)
        assert net.history["test_loss"].shape == (3, 4)
    *table, _, _ = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in table) <= 80
    assert faults(run.folder / "report.html") == []
