import numpy as np
import pytest

from backhand.data import curve
from backhand.data.curves import CLEAN


@pytest.mark.parametrize("name", CLEAN)
def test_a_set_and_the_truth_beneath_it(name):
    data = curve(name, size=2000, noise=0.1, seed=3)
    assert data.name == name
    for x, y in data.splits.values():
        assert x.shape == (2000, CLEAN[name].inputs)
        assert y.shape == (2000, 1)
        assert x.dtype == y.dtype == np.float32
        assert -3 <= x.min() < -2.9 < 2.9 < x.max() <= 3
        clean = CLEAN[name].value(x)
        assert clean.shape == y.shape
        assert np.abs(clean).max() <= 1
        left_over = y - clean
        assert abs(left_over.mean()) < 0.01
        assert left_over.std() == pytest.approx(0.1, rel=0.05)
    assert not np.array_equal(data["train"].x, data["validation"].x)


def test_without_noise_it_is_the_truth():
    for name, clean in CLEAN.items():
        x, y = curve(name, noise=0.0)["train"]
        np.testing.assert_allclose(y, clean.value(x), atol=1e-6)


def test_outliers_are_all_that_a_share_of_them_changes():
    none, some, many = (curve("sine", size=201, outliers=share) for share in (0.0, 0.1, 0.5))
    for other in (some, many):
        np.testing.assert_array_equal(none["train"].x, other["train"].x)
        for a, b in zip(none["validation"], other["validation"], strict=True):
            np.testing.assert_array_equal(a, b)
    raised = {
        name: d["train"].y - none["train"].y for name, d in {"some": some, "many": many}.items()
    }
    assert (raised["some"] != 0).sum() == 20
    assert (raised["many"] != 0).sum() == 100
    up = raised["many"][raised["many"] != 0]
    assert 2 <= up.min() < 2.2 < 3.8 < up.max() <= 4
    kept = raised["some"] != 0  # the smaller share is part of the larger
    np.testing.assert_array_equal(raised["some"][kept], raised["many"][kept])


def test_seeded():
    assert curve("plane", seed=1).sha256 == curve("plane", seed=1).sha256
    assert curve("plane", seed=1).sha256 != curve("plane", seed=2).sha256


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("size", 1, "line: size should be at least 2, got 1"),
        ("size", 2.5, "line: size should be an integer, got 2.5"),
        ("noise", -0.1, "line: noise, a standard deviation, should be from 0 to 100, got -0.1"),
        ("noise", float("nan"), "got nan"),
        ("noise", float("inf"), "got inf"),
        ("outliers", 1.0, "a share of the training points, should be from 0 to below 1, got 1.0"),
        ("outliers", -0.1, "got -0.1"),
        ("seed", -1, "line: seed should be at least 0, got -1"),
        ("name", "circle", "name should be one of line, sine, .*, got 'circle'"),
    ],
)
def test_what_makes_no_sense(field, value, says):
    with pytest.raises((TypeError, ValueError), match=says):
        curve(**{"name": "line"} | {field: value})
