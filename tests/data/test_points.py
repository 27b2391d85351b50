import math
import sys

import numpy as np
import pytest

from backhand import data

SETS = {
    name: getattr(data, name) for name in ("lesson", "gauss", "circle", "xor", "moons", "spiral")
}
MANY = {name: getattr(data, name) for name in ("blobs", "spirals")}


def everything(points):
    x, y = (np.concatenate(parts) for parts in zip(*points.splits.values(), strict=True))
    order = np.lexsort(x.T)
    return x[order], y[order]


@pytest.mark.parametrize("name", SETS | MANY)
def test_four_fifths_of_each_class_to_train(name):
    draw = (SETS | MANY)[name]
    points = draw(size=100, seed=3)
    assert points.name == name
    assert points.feature_names == ("x1", "x2")
    for split, share in {"train": 0.8, "validation": 0.2}.items():
        x, y = points[split]
        assert (x.shape, x.dtype, y.dtype) == ((100 * share, 2), np.float32, np.int32)
        if name != "lesson":  # whose flips make no classes of one size
            counts = np.bincount(y, minlength=len(points.class_names))
            assert abs(counts - share * 100 / len(points.class_names)).max() < 1
    assert len(np.unique(everything(points)[0], axis=0)) == 100
    assert draw(size=100, seed=3).sha256 == points.sha256
    assert draw(size=100, seed=4).sha256 != points.sha256


def test_sizes_of_their_own():
    assert {name: len(everything(draw())[1]) for name, draw in (SETS | MANY).items()} == {
        "lesson": 100,
        **dict.fromkeys(("gauss", "circle", "xor", "moons", "spiral", "blobs", "spirals"), 500),
    }


def test_without_noise_points_lie_on_the_set():
    x, y = everything(data.gauss(noise=0))
    assert np.array_equal(x, np.outer(2 * y - 1, (1, 1)))
    x, y = everything(data.circle(noise=0))
    r = np.hypot(*x.T)
    assert r[y == 0].max() <= 0.5
    assert 0.7 <= r[y == 1].min() < r[y == 1].max() <= 1
    x, y = everything(data.xor(noise=0))
    assert np.array_equal(x.prod(1) < 0, y == 1)
    assert abs(x).min() >= 0.1
    assert abs(x).max() <= 1
    x, y = everything(data.moons(noise=0))
    moon = np.where(y[:, None] == 0, x, -x) + np.array([0.5, 0.25])
    np.testing.assert_allclose(np.hypot(*moon.T), 1, rtol=1e-6)
    assert moon[:, 1].min() >= -1e-6
    for points, classes in ((data.spiral(noise=0), 2), (data.spirals(noise=0, classes=4), 4)):
        x, y = everything(points)
        r = np.hypot(*x.T)
        turns = (3.5 * (r - 0.1) / 0.9 + y) / classes
        np.testing.assert_allclose(
            x,
            np.stack([r * np.cos(2 * np.pi * turns), r * np.sin(2 * np.pi * turns)], 1),
            atol=1e-5,
        )
    centres = np.unique(everything(data.blobs(noise=0, classes=7))[0], axis=0)
    assert len(centres) == 7
    distances = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    np.testing.assert_allclose(np.sort(distances, axis=1)[:, 1:3], 1, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(SETS | MANY) - {"lesson"}))
def test_noise_is_a_standard_deviation(name):
    """So large that the set under it is but a dot."""
    x, _ = everything((SETS | MANY)[name](size=4000, noise=50.0, seed=1))
    assert x.std(0) == pytest.approx(50, rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
def test_the_lessons_share_of_flipped_labels(noise):
    (x, y), (same_x, flipped) = (
        everything(data.lesson(noise=share, seed=5)) for share in (0.0, noise)
    )
    assert np.array_equal(x, same_x)
    assert (y != flipped).sum() == round(noise * 100)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"noise": -0.1}, "moons: noise should be from 0 to 100, got -0.1"),
        ({"noise": math.nan}, "noise should be finite, got nan"),
        ({"noise": math.inf}, "noise should be finite, got inf"),
        ({"size": 9}, "moons: size should be at least 10, 5 points for each of 2 classes, got 9"),
    ],
)
def test_what_makes_no_sense(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.moons(**arguments)


def test_what_makes_no_sense_elsewhere():
    with pytest.raises(ValueError, match=r"lesson: noise should be from 0 to 0\.5, got 0\.6"):
        data.lesson(noise=0.6)
    with pytest.raises(ValueError, match="blobs: classes should be at least 2, got 1"):
        data.blobs(classes=1)
    with pytest.raises(
        ValueError, match="size should be at least 505, 5 points for each of 101 classes"
    ):
        data.spirals(classes=101)
    with pytest.raises(TypeError, match=r"size should be an integer, got 50\.5"):
        data.xor(size=50.5)
    with pytest.raises(TypeError, match="noise should be a number, got 'much'"):
        data.xor(noise="much")


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r"the data need scikit-learn: pip install 'backhand\[data\]'"
    ):
        data.moons()
