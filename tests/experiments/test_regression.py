import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backhand import runs
from backhand.reporting import Trained
from experiments import regression
from experiments.regression import Config

CLOSE, FAR = np.array([0.03, 0.04, 0.05]), np.array([0.31, 0.33, 0.35])


def net(loss, share, off):
    """A made-up net of three seeds, so far off the truth."""
    scores = dict.fromkeys(("r2", "mae", "mae_off"), off) | {"rmse_off": off}
    facts = {"loss": loss, "outliers": share, "off": np.tile(off[:, None], (1, 41 * 41))}
    history = {"val_mean_absolute_error": np.tile(off[:, None], (1, 4))}
    return Trained(f"{loss}, {100 * share:g}%", None, history, facts | scores)


def verdicts(config, *nets):
    return [question.verdict for question in regression.questions(config, list(nets))]


def test_sets_of_a_seed_differ_in_their_outliers_alone():
    config = Config(size=50, outliers=0.2, seeds=2, seed=7)
    data = regression.load(config)
    assert len(data) == 4
    for clean, other in zip(data[:2], data[2:], strict=True):
        assert ((clean["train"].y != other["train"].y).sum(), len(clean["train"].y)) == (10, 50)
        np.testing.assert_array_equal(clean["train"].x, other["train"].x)
        np.testing.assert_array_equal(clean["validation"].y, other["validation"].y)
    assert not np.array_equal(data[0]["train"].x, data[1]["train"].x)
    assert len(regression.load(Config(outliers=0.0, seeds=3))) == 3


def test_the_truth_lies_on_a_grid_in_rows():
    grid, clean = regression.truth(Config(dataset="plane"))
    assert grid.shape == (41 * 41, 2)
    assert clean.dtype == np.float32
    np.testing.assert_allclose(clean, 0.2 * grid[:, 0] - 0.1 * grid[:, 1], atol=1e-6)
    np.testing.assert_array_equal(grid[:41, 1], grid[0, 1])  # the first row of a picture


def test_the_clean_curve_is_as_good_as_the_noise_allows():
    config = Config(size=4000, noise=0.1, seeds=2)
    clean = regression.clean_scores(config, regression.load(config))
    np.testing.assert_allclose(clean.facts["mae"], 0.1 * np.sqrt(2 / np.pi), rtol=0.05)
    np.testing.assert_allclose(clean.facts["r2"], 1 - 0.01 / 0.5, rtol=0.01)
    assert clean.facts["rmse_off"].tolist() == [0, 0]


def test_answers():
    config = Config(seeds=3)
    before = [net(loss, 0.0, CLOSE) for loss in config.losses]
    robust = [net("absolute", 0.1, CLOSE), net("huber", 0.1, CLOSE + 0.01 * CLOSE)]
    spoilt, some_harm = verdicts(config, *before, net("squared", 0.1, FAR), *robust)
    assert spoilt.startswith("Outliers spoil squared error")
    assert some_harm.startswith("Outliers do not do the same to every loss")
    best, harm = verdicts(
        config, *before, net("squared", 0.1, FAR), net("absolute", 0.1, FAR + CLOSE)
    )
    assert best.startswith("Squared error comes closer")
    assert harm.startswith("Outliers draw the fit away from the truth, whatever the loss")


def test_answers_where_little_is_compared():
    one = Config(losses=("huber",), seeds=3)
    best, harm = verdicts(one, net("huber", 0.0, CLOSE), net("huber", 0.1, FAR))
    assert "Too few" in best
    assert harm.startswith("Outliers draw the fit away")
    clean = Config(outliers=0.0, seeds=3)
    best, harm = verdicts(clean, net("squared", 0.0, FAR), net("huber", 0.0, CLOSE))
    assert best == "Even without outliers, squared error does worst."
    assert "nothing to compare" in harm


@pytest.mark.slow
def test_a_report_on_surfaces_from_one_seed():
    """As after Ctrl-C: the other losses are missing."""
    config = Config(dataset="gaussians", seeds=1)
    drawn = []
    run = SimpleNamespace(
        kept={share: net("squared", share, CLOSE[:1]) for share in (0.0, 0.1)},
        figure=lambda stem, drawing, wide=False: drawn.append(stem) or f"<{stem}>",
    )
    report = regression.report(config, run, regression.load(config))
    assert report.picture == "<fits-1>"
    assert drawn == [f"{kind}-{i}" for i in (0, 1) for kind in ("fits", "off", "learning")]
    assert report.finding == "Outliers do no clear harm, whatever the loss."
    assert [row[0] for row in report.table.rows] == [
        "squared, 0%",
        "squared, 10%",
        "the clean curve",
    ]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("size", 1, "config: size should be"),
        ("noise", -1.0, "config: noise, a standard deviation, should be"),
        ("outliers", 1.0, "config: outliers, a share of the training points, should be"),
        ("losses", (), "losses should be one or more, each once, got none"),
        ("losses", ("huber", "huber"), "got huber huber"),
        ("delta", 0.0, "delta should be above 0, got 0.0"),
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("weight_decay", -1.0, "weight_decay should be at least 0, got -1.0"),
        ("batch_size", 500, "batch_size should be at most the number of examples, 200, got 500"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seeds", 0, "seeds should be at least 1, got 0"),
        ("seed", 2**32 - 4, "seed should be below .*, and 4 above it"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        Config(**{field: value})


@pytest.mark.slow
def test_a_run(tmp_path, monkeypatch, capsys, faults):
    """The bars: R² ≥ 0.98 without outliers; with them, absolute error is half as far off."""
    flags = "--losses squared absolute --seeds 2 --epochs 150"
    monkeypatch.setattr(sys, "argv", ["regression.py", "--out", str(tmp_path), *flags.split()])
    functions = (Config, regression.train, regression.report)
    runs.main(*functions, load=regression.load, description="")
    (folder,) = (tmp_path / "regression").iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert np.mean(results["squared, 0%"]["r2"]) >= 0.98
    assert np.mean(results["absolute, 0%"]["r2"]) >= 0.98
    off = {name: np.mean(found["rmse_off"]) for name, found in results.items()}
    assert off["absolute, 10%"] <= 0.5 * off["squared, 10%"]
    assert "Outliers spoil squared error" in (folder / "report.html").read_text()
    *table, _, _ = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in table) <= 80
    assert faults(folder / "report.html") == []
