import re

import jax
import numpy as np
import pytest

from backhand import runs
from backhand.models.perceptron import perceptron
from experiments import overfitting
from experiments.overfitting import GRID, judged, truth


def small(tmp_path, **changes) -> overfitting.Config:
    grid = {"widths": (1, 3), "depths": (1,), "sizes": (5, 10), "resamples": 3, "held_out": 20}
    return overfitting.Config(**{**grid, "batch_size": 5, "epochs": 4, "out": tmp_path} | changes)


def carry_out(config: overfitting.Config) -> runs.Run:
    run = runs.Run.start("overfitting", config)
    overfitting.run(config, run)
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two nets on two sizes."""
    return carry_out(small(tmp_path_factory.mktemp("overfitting")))


def test_every_cell_is_measured(done):
    cells = done.read_json("results.json")
    assert [(c["net"], c["parameters"], c["points"]) for c in cells] == [
        ("1-1-1", 4, 5),
        ("1-1-1", 4, 10),
        ("1-3-1", 10, 5),
        ("1-3-1", 10, 10),
    ]
    assert done.metrics() == [{k: v for k, v in cell.items() if k != "verdict"} for cell in cells]
    for cell in cells:
        assert all(len(cell[key]) == 3 for key in ("train", "validation", "test", "stopped", "turn", "rest"))


def test_a_repeated_sample_has_the_loss_of_the_sample(done):
    """And each net's is that of its own params on its own points, the first `points` of the largest sample."""
    params, samples = done.arrays("params.safetensors"), overfitting.draw(done.config)
    net = perceptron((3,), 1)
    key = jax.random.key(0)
    tree = jax.tree.structure(net.init(key, samples["train"].x[0]))
    leaves = [params[f"1-3-1.{name}"] for name in ("0.w", "0.b", "2.w", "2.b")]
    for i, cell in enumerate(done.read_json("results.json")[2:]):
        for seed in range(3):
            row = jax.tree.unflatten(tree, [leaf[3 * i + seed] for leaf in leaves])
            for split, count in {"train": cell["points"], "validation": 20, "test": 20}.items():
                x, y = (a[seed, :count] for a in samples[split])
                loss = ((np.asarray(net.apply(row, x)) - y) ** 2).mean()
                assert cell[split][seed] == pytest.approx(loss, rel=1e-4)


def test_bias_variance_and_noise_are_the_error_of_the_fits(done):
    fits = done.arrays("fits.safetensors")
    for cell in done.read_json("results.json"):
        error = ((fits[f"{cell['net']}.{cell['points']}"] - truth(GRID)) ** 2).mean()
        assert cell["bias²"][0] + cell["variance"][0] == pytest.approx(error, rel=1e-4)
        assert np.mean(cell["rest"]) == pytest.approx(np.mean(cell["test"]) - error - 0.25, abs=1e-5)


def test_histories_end_in_the_results(done):
    histories = done.arrays("histories.safetensors")
    for cell in done.read_json("results.json"):
        key = f"{cell['net']}.{cell['points']}"
        assert histories[f"{key}.epoch"].tolist() == [0, 1, 2, 3, 4]
        for split in ("train", "validation", "test"):
            assert histories[f"{key}.{split}"].shape == (4, 3)
            np.testing.assert_allclose(histories[f"{key}.{split}"][-1], cell[split], rtol=1e-6)
        for term in overfitting.TERMS:
            np.testing.assert_allclose(histories[f"{key}.{term}"][-1], cell[term])


def test_the_report_has_every_picture(done):
    html = (done.folder / "report.html").read_text()
    figures = {p.stem for p in (done.folder / "figures").iterdir()}
    by_size = {f"{kind}-{size}" for kind in ("capacity", "learning", "bias-variance") for size in (5, 10)}
    assert by_size | {"saved-1", "gap-1", "course", "fits-1-1-1", "fits-1-3-1"} == figures
    assert html.count("<img") == len(re.findall(r'alt="[^"]{20,}"', html)) == len(figures)
    assert done.receipt["params_sha256"] in html


def test_samples_are_nested_drawn_from_the_curve_and_the_same_tomorrow(tmp_path):
    config = small(tmp_path, resamples=200, noise=0.1)
    (x, y), again = overfitting.draw(config)["train"], overfitting.draw(config)
    np.testing.assert_array_equal(x, again["train"].x)
    assert (y - truth(x)).std() == pytest.approx(0.1, rel=0.05)
    assert np.abs(x).max() <= np.pi
    assert overfitting.draw(small(tmp_path, seed=1)).sha256 != overfitting.draw(small(tmp_path)).sha256


def test_early_stopping_of_a_known_history():
    validation = np.array([[3.0, 1.0, 6.0], [1.0, 2.0, 4.0], [2.0, 3.0, 5.0]])
    test = np.arange(9.0).reshape(3, 3)
    stopped = overfitting.stopped_early(validation, test)
    assert stopped["turn"].tolist() == [2, 1, 2]
    assert stopped["stopped"].tolist() == [3, 1, 5]


def cell(width, points, train, validation, *, stopped=None, bias=0.1, variance=0.1, turn=50):
    """A made-up cell of three nets, that scatter little."""
    scatter = np.array([-0.01, 0.0, 0.01])
    return {
        "net": f"1-{width}-1",
        "depth": 1,
        "width": width,
        "parameters": 3 * width + 1,
        "points": points,
        "train": (train + scatter).tolist(),
        "validation": (validation + 2 * scatter).tolist(),
        "test": (validation + scatter).tolist(),
        "stopped": (np.nan_to_num(stopped or validation) + 2 * scatter).tolist(),
        "turn": [turn - 1, turn, turn + 1],
        "bias²": [bias, 0.01],
        "variance": [variance, 0.01],
        "noise": 0.25,
        "rest": scatter.tolist(),
    }


TEXTBOOK = judged(
    [
        cell(1, 20, 0.6, 0.9, bias=0.5, variance=0.1),
        cell(8, 20, 0.2, 0.5, stopped=0.45),
        cell(64, 20, 0.05, 0.8, stopped=0.5, bias=0.02, variance=0.5),
        cell(1, 320, 0.7, 0.71, bias=0.5, variance=0.1),
        cell(8, 320, 0.26, 0.3),
        cell(64, 320, 0.25, 0.3, bias=0.02, variance=0.3),
    ]
)
# Where the largest net is best, more data opens the gap, going on pays, and width adds bias and takes variance.
OTHERWISE = judged(
    [
        cell(1, 20, 0.6, 0.7, bias=0.1, variance=0.5),
        cell(64, 20, 0.2, 0.5, stopped=0.6, bias=0.5, variance=0.1),
        cell(1, 320, 0.5, 0.9, bias=0.1, variance=0.5),
        cell(64, 320, 0.2, 0.8, stopped=0.9, bias=0.5, variance=0.1),
    ]
)


def test_verdicts():
    assert [c["verdict"] for c in TEXTBOOK] == ["underfits", "best", "overfits", "underfits", "best", "fits"]
    assert [c["verdict"] for c in OTHERWISE] == ["underfits", "best", "underfits", "best"]


def test_words_for_the_textbook():
    assert "2 underfit and 1 overfit, most of all 1-64-1 on 20" in overfitting.verdicts_in_words(TEXTBOOK)
    said = overfitting.fitting_in_words(TEXTBOOK)
    assert "1-1-1 underfits, by 0.400 ± 0.000; 1-64-1 overfits, by 0.300 ± 0.000." in said
    assert "1-1-1 underfits, by 0.410 ± 0.000; no net overfits." in said
    turning = overfitting.turning_in_words(TEXTBOOK, 300)
    assert "after epoch 50 ± 1 of 300 (mean ± sd over 3 nets)" in turning
    assert "going on to the end raises its test loss (a change of 0.300 ± 0.006)" in turning
    stopping = overfitting.stopping_in_words(TEXTBOOK)
    assert "in 2 of 6 cases, and largest with 1-64-1 on 20 points: 0.300 ± 0.006, 38% of" in stopping
    assert "in none is it a clear loss" in stopping
    more = overfitting.more_data_in_words(TEXTBOOK)
    assert "narrows from 0.750 ± 0.006 to 0.050 ± 0.006, and its validation loss falls from 0.800" in more
    terms = overfitting.bias_variance_in_words(TEXTBOOK)
    assert "bias² falls from 0.500 ± 0.010 to 0.020 ± 0.010 and variance grows from 0.100" in terms


def test_words_where_it_is_otherwise():
    assert overfitting.verdicts_in_words(OTHERWISE).endswith("2 underfit and 0 overfit.")
    assert "no net overfits" in overfitting.fitting_in_words(OTHERWISE)
    assert "going on to the end lowers its test loss" in overfitting.turning_in_words(OTHERWISE, 300)
    assert "in 0 of 4 cases; in 2 it is a clear loss." in overfitting.stopping_in_words(OTHERWISE)
    more = overfitting.more_data_in_words(OTHERWISE)
    assert "widens from 0.300 ± 0.006 to 0.600 ± 0.006, and its validation loss rises from 0.500" in more
    terms = overfitting.bias_variance_in_words(OTHERWISE)
    assert "bias² grows from 0.100 ± 0.010 to 0.500 ± 0.010 and variance falls from 0.500" in terms
    flat = judged([cell(1, 20, 0.6, 0.7), cell(8, 20, 0.5, 0.7)])
    assert "bias² does not clearly change from 0.100" in overfitting.bias_variance_in_words(flat)
    assert "does not clearly change its test loss" in overfitting.turning_in_words(flat, 300)


def test_words_where_there_is_nothing_to_compare():
    one = judged([cell(1, 20, 0.6, 0.7)])
    assert "nothing to compare" in overfitting.more_data_in_words(one)
    assert "nothing to compare" in overfitting.bias_variance_in_words(one)


def test_words_for_the_sum():
    said = overfitting.sum_in_words(TEXTBOOK)
    assert "In 0 of 6 cases" in said
    assert "by chance about 1.1 would" in said  # 6 times P(|t| > 2) of 2 degrees of freedom, 0.1835
    assert "a sum of 0.850" in said  # 0.5 + 0.1 + 0.25, of the first
    apart = [c | {"rest": [0.2, 0.21, 0.22]} for c in TEXTBOOK[:1]]
    assert "In 1 of 1 cases" in overfitting.sum_in_words(apart)
    assert "a difference of 0.210 ± 0.006" in overfitting.sum_in_words(apart)


def test_interrupted_it_reports_on_the_cells_that_are_done(tmp_path, monkeypatch, capsys):
    train = overfitting.train

    def interrupted(config, run, samples, depth, width, progress):
        if width == 3:
            raise KeyboardInterrupt
        return train(config, run, samples, depth, width, progress)

    monkeypatch.setattr(overfitting, "train", interrupted)
    config = small(tmp_path)
    run = runs.Run.start("overfitting", config)
    with pytest.raises(KeyboardInterrupt):
        overfitting.run(config, run)
    assert len(run.read_json("results.json")) == len(run.metrics()) == 2
    html = (run.folder / "report.html").read_text()
    assert "Stopped when 1 of 2 nets were done." in html
    assert "nothing to compare" in html
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("report.html")
    assert max(map(len, out.splitlines()[:-2])) <= 80
    assert "\x1b" not in out + err  # this is no terminal


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("widths", (), "widths should be different numbers, one at least, got \\(\\)"),
        ("depths", (1, 1), "depths should be different numbers"),
        ("widths", (0,), "widths should be at least 1, got 0"),
        ("sizes", (20, 30), "sizes should divide the largest of them, 30, got 20"),
        ("resamples", 2, "resamples should be at least 3, got 2"),
        ("noise", 0.0, "noise should be above 0, got 0.0"),
        ("learning_rate", 1e39, "learning_rate should be a number float32 can work with, got 1e\\+39"),
        ("held_out", 0, "held_out should be at least 1, got 0"),
        ("batch_size", 321, "batch_size should be at most 320, the largest of sizes, got 321"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        overfitting.Config(**{field: value})


def test_the_report_in_a_browser(done, faults):
    assert faults(done.folder / "report.html") == []
