import numpy as np
import pytest

from backhand.data import diabetes, digits


@pytest.fixture(scope="module")
def data():
    return digits(seed=0)


def test_what_the_digits_hold(data):
    assert {name: split.x.shape for name, split in data.splits.items()} == {
        "train": (1257, 64),
        "validation": (180, 64),
        "test": (360, 64),
    }
    assert data.class_names == tuple("0123456789")
    assert data.image_shape == (8, 8)
    for x, y in data.splits.values():
        assert (x.dtype, y.dtype) == (np.float32, np.int32)
        assert x.min() == 0
        assert x.max() == 1


def test_every_digit_is_in_one_split_once(data):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = [(*x * 16, y) for split in data.splits.values() for x, y in zip(*split, strict=True)]
    assert sorted(map(tuple, np.column_stack([images, labels]))) == sorted(
        tuple(map(float, row)) for row in rows
    )


def test_stratified(data):
    shares = [np.bincount(y) / len(y) for _, y in data.splits.values()]
    np.testing.assert_allclose(shares[1], shares[0], atol=0.006)
    np.testing.assert_allclose(shares[2], shares[0], atol=0.006)


def test_seeded(data):
    assert digits(seed=0).sha256 == data.sha256
    assert digits(seed=1).sha256 != data.sha256


def test_what_diabetes_holds():
    data = diabetes()
    assert list(data.splits) == ["all"]
    x, y = data["all"]
    assert (x.shape, y.shape) == ((442, 10), (442, 1))
    assert x.dtype == y.dtype == np.float32
    assert (y.min(), y.max()) == (25, 346)
    assert 19 <= x[:, 0].min() < x[:, 0].max() <= 79  # age, in years: as measured, not scaled
    assert diabetes().sha256 == data.sha256
