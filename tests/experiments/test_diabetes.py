import json
import sys
import warnings

import numpy as np
import pytest

from backhand import data, runs
from backhand.reporting import Trained, contrast
from backhand.storage import parameters
from experiments import diabetes
from experiments.diabetes import Config


def test_no_fold_trains_on_a_patient_it_tests():
    trains, tests = diabetes.folds(442, seed=1)
    assert trains.shape == (25, diabetes.TRAINED)
    assert (tests.sum(0) == diabetes.REPEATS).all()
    assert (tests[: diabetes.FOLDS].sum(0) == 1).all()
    for train, test in zip(trains, tests, strict=True):
        assert len(set(train)) == len(train)
        assert not test[train].any()


class Model:
    """Stands for one of scikit-learn's: says what it was fitted to, with a warning."""

    def __init__(self, says):
        self.says = says

    def fit(self, _, y):
        warnings.warn(self.says, stacklevel=1)
        self.mean = y.mean()
        return self

    def predict(self, x):
        return x[:, 0] + self.mean


def test_scikit_learn_is_fitted_fold_by_fold_and_quietly():
    x, y = np.arange(8.0).reshape(2, 4, 1), np.array([[1.0, 3, 5, 7], [2, 4, 6, 8]])
    predicted = diabetes.scikit_learn(Model("not converged"), x, y, np.array([[0, 1], [2, 3]]))
    np.testing.assert_array_equal(predicted, x[..., 0] + [[2], [7]])
    assert predicted.dtype == np.float32


def test_ctrl_c_in_scikit_learn_ends_the_run():
    """MLPRegressor swallows it, and the next fold would follow."""
    x, y, trains = np.zeros((2, 4, 1)), np.zeros((2, 4)), np.array([[0, 1], [2, 3]])
    with pytest.raises(KeyboardInterrupt):
        diabetes.scikit_learn(Model("Training interrupted by user."), x, y, trains)


class Diverging(Model):
    def predict(self, _):
        raise ValueError("Solver produced non-finite parameter weights.")


def test_a_model_that_diverges_ends_the_run_with_its_name():
    x, y, trains = np.zeros((2, 4, 1)), np.zeros((2, 4)), np.array([[0, 1], [2, 3]])
    with pytest.raises(FloatingPointError, match="Diverging: Solver produced non-finite"):
        diabetes.scikit_learn(Diverging(""), x, y, trains)


def model(name, r2):
    """A made-up model; ours have params."""
    return Trained(name, () if name.startswith("backhand") else None, {}, {"r2": r2})


@pytest.mark.parametrize(
    ("gain", "answer"),
    [
        (0.1, "Nets by hand-written backprop beat a linear model"),
        (-0.1, "A linear model and scikit-learn's net beat nets"),
        (0.0, "On diabetes a linear model does as well as any net"),
    ],
)
def test_answers(gain, answer):
    rng = np.random.default_rng(0)
    r2 = rng.normal(0.5, 0.07, 25)
    rivals = [model("LinearRegression", r2), model("MLPRegressor", r2 + rng.normal(0, 0.01, 25))]
    ours = [model(f"backhand, {i}", r2 + rng.normal(gain, 0.01, 25)) for i in range(2)]
    asked = diabetes.question({m.name: m for m in (*rivals, *ours)})
    assert asked.verdict.startswith(answer)
    assert [(c.a, c.b) for c in asked.contrasts] == [(a.name, b.name) for a in rivals for b in ours]


def test_folds_that_overlap_tell_less_than_independent_ones():
    r2 = np.linspace(0.4, 0.6, 25)
    a, b = model("LinearRegression", r2), model("backhand", r2 + np.linspace(0, 0.01, 25))
    naive = contrast(diabetes.R2, a, b, paired=True).difference
    (found,) = diabetes.question({m.name: m for m in (a, b)}).contrasts
    assert found.difference.value == naive.value
    assert found.difference.error == pytest.approx(naive.error * np.sqrt(1 + 25 * 0.25))


def test_interrupted_before_our_nets_there_is_nothing_to_compare():
    question = diabetes.question({"LinearRegression": model("LinearRegression", np.ones(25))})
    assert "Too few" in question.verdict


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("losses", ("huber", "huber"), "losses should be one or more, each once, got huber"),
        ("delta", 0.0, "delta should be above 0, got 0.0"),
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("weight_decay", -1.0, "weight_decay should be at least 0, got -1.0"),
        ("batch_size", 354, "batch_size should be at most the number of examples, 353, got 354"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        Config(**{field: value})


@pytest.mark.slow
def test_a_run(tmp_path, monkeypatch, faults):
    """The bar is a mean R² of 0.45 over all folds, of every model."""
    flags = "--losses squared --epochs 30 --batch-size 40"
    monkeypatch.setattr(sys, "argv", ["diabetes.py", "--out", str(tmp_path), *flags.split()])
    functions = (Config, diabetes.train, diabetes.report)
    runs.main(*functions, load=lambda config: data.diabetes(), description="")
    (folder,) = (tmp_path / "diabetes").iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["LinearRegression", "MLPRegressor", "backhand, squared"]
    arrays = parameters.read(folder / "arrays.safetensors")[0]
    y, tests = data.diabetes()["all"].y[:, 0], diabetes.folds(442, 0)[1]
    for name, found in results.items():
        assert np.mean(found["r2"]) >= 0.45
        predicted = arrays[f"{name}.predicted"]
        assert found["mae"][7] == pytest.approx(np.abs(y - predicted[7])[tests[7]].mean(), rel=1e-5)
    assert faults(folder / "report.html") == []
