import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import backhand as bh
from backhand import data, plots, runs
from backhand.models import perceptron
from backhand.reporting import Trained
from backhand.storage import parameters
from experiments import planar


def through_the_frame(*flags: object) -> None:
    """Run the experiment as from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["planar.py", *map(str, flags)])
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        runs.main(planar.Config, planar.train, planar.report, load=planar.load, description="")


def test_points_are_drawn_by_seed():
    config = planar.Config(dataset="blobs", classes=3, size=60, noise=0.1, seeds=2, seed=4)
    first, second = planar.load(config)
    assert first.sha256 == data.blobs(size=60, noise=0.1, seed=4, classes=3).sha256
    assert second.sha256 == data.blobs(size=60, noise=0.1, seed=5, classes=3).sha256
    (spiral,) = planar.load(planar.Config(seeds=1))
    assert spiral.sha256 == data.spiral().sha256


def test_points_from_a_file_are_split_by_seed(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{k + rng.normal() / 9},{rng.normal()},{word}" for k, word in enumerate("abc" * 10)]
    (tmp_path / "mine.csv").write_text("\n".join(["height (mm),mass (t),kind", *lines]))
    config = planar.Config(csv=tmp_path / "mine.csv", seeds=2)
    first, second = planar.load(config)
    assert first.class_names == ("a", "b", "c")
    assert first.feature_names == ("height (mm)", "mass (t)")
    assert first.sha256 != second.sha256
    assert config.points == "mine.csv"


def test_a_file_that_cannot_be_read(tmp_path):
    for path, says in ((tmp_path / "none.csv", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(OSError, match=f"{says}.*{path.name}"):
            planar.load(planar.Config(csv=path))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hidden": (8, 0)}, "hidden should be at least 1, got 0"),
        ({"hidden": (), "compare": True}, "compare needs a hidden layer, such as --hidden 16"),
        ({"classes": 3}, "classes is for blobs and spirals, got 3 with spiral"),
        ({"csv": Path("my.csv"), "noise": 0.1}, "noise is for drawn points, not those of my.csv"),
        ({"csv": Path("my.csv"), "dataset": "xor"}, "dataset is for drawn points"),
        ({"learning_rate": 0.0}, "learning_rate should be above 0"),
        ({"learning_rate": 1e39}, "a number float32 can work with"),
        ({"seeds": 0}, "seeds should be at least 1, got 0"),
        ({"seed": 2**32 - 4}, r"seed should be below 2\*\*32, got 4294967292, and 4 above it"),
    ],
)
def test_settings_that_make_no_sense(fields, says):
    with pytest.raises(ValueError, match=says):
        planar.Config(**fields)


def test_a_net_is_given_standardised_coordinates():
    points = data.gauss()
    z = planar.scaled(points["train"].x, points)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-6)


def test_the_film_has_the_start_and_the_end_and_is_denser_at_first():
    epochs = planar.filmed(200)
    assert (epochs[0], epochs[-1]) == (0, 200)
    assert len(epochs) <= planar.FRAMES
    assert np.all(np.diff(epochs) > 0)
    assert np.diff(epochs)[0] < np.diff(epochs)[-1]
    assert planar.filmed(3) == [0, 1, 2, 3]


def test_what_is_seen_over_the_plane(monkeypatch):
    """Row 0 is at the bottom; one logit becomes the probabilities of two classes."""
    monkeypatch.setattr(planar, "GRID", 3)
    points = data.gauss()
    left, right, bottom, top = planar.window(points)
    x = np.concatenate([split.x for split in points.splits.values()])
    assert left < x[:, 0].min() < x[:, 0].max() < right
    assert bottom < x[:, 1].min() < x[:, 1].max() < top
    plane = plots.Plane((left, right, bottom, top), points.splits, points.class_names, "xy")
    net, params = (
        perceptron((), 1),
        (bh.Linear(np.array([[0], [1]], np.float32), np.zeros(1, np.float32)),),
    )
    (p,) = planar.seen(net, params, plane, points)
    assert p.shape == (3, 3, 2)
    np.testing.assert_allclose(p.sum(2), 1, rtol=1e-6)
    assert (np.diff(p[:, :, 1], axis=0) > 0).all()  # the net looks at x2 only, which grows upwards
    np.testing.assert_allclose(np.ptp(p, axis=1), 0, atol=1e-6)
    middle = planar.scaled(np.array([[(left + right) / 2, (bottom + top) / 2]]), points)
    np.testing.assert_allclose(p[1, 1, 1], jax.nn.sigmoid(middle[0, 1]), rtol=1e-5)


def trained(name: str, *accuracies: float) -> Trained:
    return Trained(name, None, {"val_accuracy": np.array(accuracies)[:, None]}, {})


def test_the_finding_is_chosen_by_the_numbers():
    points = data.xor()
    line, deep = trained("2-1", 0.5, 0.6, 0.55), trained("2-4-1", 1.0, 0.9, 1.0)
    assert "the classes need a boundary that bends" in planar.finding([line, deep], points)
    assert "the linear net beats every net" in planar.finding([deep, line], points)
    assert "no net with a hidden layer clearly beats" in planar.finding([line, line], points)
    assert "the table shows which" in planar.finding([line, line, deep], points)
    assert "One seed can't tell" in planar.finding([trained("a", 0.5), trained("b", 1.0)], points)
    assert "separates the classes" in planar.finding([deep], points)
    assert "finds where the classes lie" in planar.finding([trained("a", 0.8, 0.9)], points)
    assert "little better than a guess" in planar.finding([line], points)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("planar")
    small = ("--hidden", 6, "--epochs", 4, "--seeds", 2, "--size", 100, "--classes", 3)
    through_the_frame("--dataset", "spirals", *small, "--compare", "--out", out)
    (folder,) = out.glob("planar/*")
    return folder


@pytest.mark.slow
def test_a_run_leaves_its_nets_their_film_and_a_report(compared, faults):
    params, _ = parameters.read(compared / "params.safetensors")
    assert params["2-6-3.0.w"].shape == (2, 2, 6)  # two seeds
    film = parameters.read(compared / "arrays.safetensors")[0]["2-6-3.film"]
    assert film.shape == (5, 39)  # before the first epoch, and after each of four
    first_seed = [params[f"2-6-3.{name}"][0].ravel() for name in ("0.w", "0.b", "2.w", "2.b")]
    np.testing.assert_array_equal(np.sort(film[-1]), np.sort(np.concatenate(first_seed)))
    assert not np.array_equal(film[0], film[-1])
    boundaries = ["boundary-2-3.svg", "boundary-2-6-3.svg"]
    drawn = sorted([*boundaries, "film.svg", "loss.svg", "accuracy.svg", "units-1.svg"])
    assert sorted(path.name for path in (compared / "figures").iterdir()) == drawn
    assert faults(compared / "report.html") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "hidden", "least", "most"),
    [
        ("circle", (16, 16), 97, 100),
        ("xor", (16, 16), 97, 100),
        ("moons", (16, 16), 97, 100),
        ("spiral", (16, 16), 95, 100),
        ("blobs", (16, 16), 95, 100),
        ("circle", (), 0, 70),
        ("xor", (), 0, 70),
    ],
)
def test_which_nets_separate_which_points(dataset, hidden, least, most, tmp_path):
    config = planar.Config(dataset=dataset, hidden=hidden, seeds=2, out=tmp_path)
    run = runs.Run.start("planar", config)
    planar.train(config, run, planar.load(config))
    (net,) = run.kept.values()
    assert least <= planar.accuracy(net).mean() <= most
