import re
import warnings

import numpy as np
import pytest

from backhand import runs
from backhand.reporting.statistics import mean_sd
from experiments import regression


def carry_out(config: regression.Config) -> runs.Run:
    run = runs.Run.start("regression", config)
    regression.run(config, run)
    return run


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    """The default run, but of two losses, two seeds and half the epochs."""
    return carry_out(
        regression.Config(
            losses=("squared", "absolute"), seeds=2, epochs=150, out=tmp_path_factory.mktemp("sine")
        )
    )


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory):
    """All 25 folds, for 30 epochs by one loss."""
    out = tmp_path_factory.mktemp("diabetes")
    return carry_out(
        regression.Config(dataset="diabetes", losses=("squared",), epochs=30, batch_size=40, out=out)
    )


def fits(run):
    return {(r["loss"], r["outliers"]): r for r in run.read_json("results.json")["fits"]}


def alone(run):
    """The report's pictures have words, and there is one for each figure kept."""
    html = (run.folder / "report.html").read_text()
    figures = list((run.folder / "figures").iterdir())
    assert html.count("<img") == len(figures) == len(re.findall(r'alt="[^"]{20,}"', html))
    assert run.receipt["params_sha256"] in html
    assert run.receipt["data_sha256"] in html
    return html


def test_every_loss_fits_the_sine_without_outliers(sine):
    """The bar: R² on validation data is at least 0.98."""
    for loss in ("squared", "absolute"):
        assert np.mean(fits(sine)[loss, 0.0]["r2"]) >= 0.98


def test_the_absolute_error_stays_near_the_clean_curve_where_the_squared_is_drawn_away(sine):
    """The bar: with 10% outliers, at most half its distance."""
    squared, absolute = (np.mean(fits(sine)[loss, 0.1]["clean_rmse"]) for loss in ("squared", "absolute"))
    assert absolute <= 0.5 * squared


def test_scores_are_those_of_the_fits_kept(sine):
    arrays, kept = sine.arrays("data.safetensors"), sine.arrays("fits.safetensors")
    assert arrays["train.x"].shape == (2, 2, 200, 1)
    np.testing.assert_array_equal(arrays["train.x"][0], arrays["train.x"][1])
    assert ((arrays["train.y"][0] != arrays["train.y"][1]).sum((1, 2)) == 20).all()
    np.testing.assert_allclose(arrays["grid.clean"], np.sin(1.5 * arrays["grid.x"]), atol=1e-6)
    for i, share in enumerate((0.0, 0.1)):
        r, y = fits(sine)["absolute", share], arrays["validation.y"][i]
        off = kept["absolute.grid"][i] - arrays["grid.clean"]
        np.testing.assert_allclose(r["clean_rmse"], np.sqrt((off**2).mean((1, 2))), rtol=1e-5)
        np.testing.assert_allclose(r["clean_mae"], np.abs(off).mean((1, 2)), rtol=1e-5)
        left_over = y - kept["absolute.validation"][i]
        np.testing.assert_allclose(r["mae"], np.abs(left_over).mean((1, 2)), rtol=1e-5)
        r2 = 1 - (left_over**2).sum((1, 2)) / ((y - y.mean(1, keepdims=True)) ** 2).sum((1, 2))
        np.testing.assert_allclose(r["r2"], r2, rtol=1e-5)


def test_the_sine_run_is_whole(sine):
    assert len(sine.metrics()) == 2 * 2 * 150
    html = alone(sine)
    figures = {p.stem for p in (sine.folder / "figures").iterdir()}
    assert figures == {f"{kind}-{i}" for kind in ("fit", "errors", "residuals", "learning") for i in (0, 1)}
    squared = mean_sd(fits(sine)["squared", 0.1]["clean_rmse"], ".3f")
    assert f"With 10% outliers, fits are off the clean values by {squared} (squared error)" in html
    assert "Mean ± standard deviation over 2 seeds" in html


def test_diabetes_against_scikit_learn(diabetes):
    """The bar is a mean R² of 0.45 over 5 × 5 folds; every patient is tested five times, by nets that never saw him."""
    results = {r["model"]: r for r in diabetes.read_json("results.json")}
    assert list(results) == ["LinearRegression", "MLPRegressor", "backhand (squared error)"]
    arrays = diabetes.arrays("predictions.safetensors")
    assert (arrays["tests"].sum(0) == 5).all()
    assert results["MLPRegressor"]["not_converged"] > 0
    for model, r in results.items():
        assert len(r["r2"]) == len(r["mae"]) == 25
        assert np.mean(r["r2"]) >= 0.45
        test = arrays["tests"][7]
        off = arrays["y"][test] - arrays[model][7, test]
        assert r["mae"][7] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    html = alone(diabetes)
    assert f"did not converge on {results['MLPRegressor']['not_converged']} of 25 folds" in html
    difference = np.subtract(results["backhand (squared error)"]["r2"], results["LinearRegression"]["r2"])
    assert f"higher on {(difference > 0).sum()} of 25" in html
    assert "ended early" not in html
    first = diabetes.read_json("results.json")[:1]
    assert regression.diabetes_conclusion(diabetes.config, first)[-1] == (
        "The run ended early; it lacks MLPRegressor, backhand (squared error)."
    )


def test_no_fold_trains_on_a_patient_it_tests():
    trains, tests = regression.folds(442, seed=1)
    assert trains.shape == (25, 353)
    assert set(tests.sum(1)) == {88, 89}
    for train, test in zip(trains, tests, strict=True):
        assert len(set(train)) == 353
        assert not test[train].any()


def test_standardised_by_training_patients_alone():
    a = np.arange(12.0).reshape(6, 2)
    trains = np.array([[0, 1, 2], [3, 4, 5]])
    scaled, centre, scale = regression.standardised(a, trains)
    np.testing.assert_allclose(scaled[[0, 1]][np.arange(2)[:, None], trains].mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(scaled[np.arange(2)[:, None], trains].std(1), 1)
    np.testing.assert_allclose(scaled * scale + centre, np.stack([a, a]), atol=1e-12)


def test_interrupted_it_reports_on_what_is_done(tmp_path, monkeypatch, capsys):
    """Of a surface, from one seed: its report, too, is whole."""
    train = regression.train

    def interrupted(config, run, name, seeds, splits):
        if name == "absolute":
            raise KeyboardInterrupt
        return train(config, run, name, seeds, splits)

    monkeypatch.setattr(regression, "train", interrupted)
    losses = ("huber", "absolute")
    config = regression.Config(
        dataset="gaussians", losses=losses, hidden=(4,), epochs=2, seeds=1, out=tmp_path
    )
    run = runs.Run.start("regression", config)
    with pytest.raises(KeyboardInterrupt):
        regression.run(config, run)
    assert set(fits(run)) == {("huber", 0.0), ("huber", 0.1)}
    assert run.arrays("fits.safetensors")["huber.grid"].shape == (2, 1, 41 * 41, 1)
    html = alone(run)
    assert "One seed" in html
    assert "absolute error (" not in html
    assert "The run ended early; it lacks absolute error." in html
    *table, last = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in table) <= 80
    assert last == f"report  {run.folder / 'report.html'}"


class Rival:
    """Fits as scikit-learn's net does when something goes wrong."""

    def __init__(self, trouble):
        self.trouble = trouble

    def fit(self, *_):
        if isinstance(self.trouble, Exception):
            raise self.trouble
        if self.trouble:
            warnings.warn(self.trouble, stacklevel=1)
        return self

    def predict(self, x):
        return np.zeros(len(x))


def test_a_rival_that_diverges_or_is_interrupted():
    """scikit-learn swallows Ctrl-C: its net would go on to the next fold."""
    data = np.ones((4, 2)), np.ones(4), np.array([True, True, True, False])
    assert regression.fit_pipeline(Rival(None), *data)[1]
    prediction, converged = regression.fit_pipeline(
        Rival(ValueError("Solver produced non-finite parameter weights.")), *data
    )
    assert np.isnan(prediction).all()
    assert not converged
    with pytest.raises(ValueError, match="another"):
        regression.fit_pipeline(Rival(ValueError("another")), *data)
    with pytest.raises(KeyboardInterrupt):
        regression.fit_pipeline(Rival("Training interrupted by user."), *data)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("size", 1, "config: size should be an integer of at least 2, got 1"),
        ("noise", -1.0, "noise, a standard deviation, should be from 0 to 100, got -1.0"),
        ("outliers", 1.0, r"should be in \[0, 1\), got 1.0"),
        ("losses", (), "losses should name at least one loss, and none twice, got none"),
        ("losses", ("huber", "huber"), "got huber huber"),
        ("delta", 0.0, "delta should be above 0, got 0.0"),
        ("noise", 1e300, "from 0 to 100, got 1e\\+300"),
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate should be above 0, got 0.0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("weight_decay", -1.0, "weight_decay should be from 0 to 1000, got -1.0"),
        ("batch_size", 0, "batch_size should be at least 1, got 0"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seeds", 0, "seeds should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
        ("seed", 2**32 - 24, "seed should be below .*, and 24 above it"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        regression.Config(**{field: value})


@pytest.mark.parametrize(
    ("dataset", "most"), [("sine", "size, 200 training points"), ("diabetes", "353, the")]
)
def test_a_batch_larger_than_the_data(dataset, most, tmp_path):
    with pytest.raises(runs.RefusedError, match=f"at most {most}.*got 500"):
        carry_out(regression.Config(dataset=dataset, batch_size=500, out=tmp_path))


def test_the_report_in_a_browser(sine, faults):
    assert faults(sine.folder / "report.html") == []
