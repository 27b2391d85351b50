import jax
import numpy as np
import pytest

from backhand.data import Dataset, Split

X, Y = np.zeros((4, 2), np.float32), np.array([0, 1, 1, 0])


def make(x=X, y=Y, classes=("no", "yes")):
    return Dataset("toy", {"train": Split(x, y), "test": Split(X, Y)}, classes)


def test_splits_by_name():
    data = make()
    assert list(data.splits) == ["train", "test"]
    x, y = data["train"]
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)
    with pytest.raises(KeyError, match="toy has the splits train, test, not 'validation'"):
        data["validation"]


def test_cannot_be_changed_by_anyone():
    mine = X.copy()
    data = make(x=mine)
    mine[0] = 1
    assert not data["train"].x.any()
    with pytest.raises(ValueError, match="read-only"):
        data["train"].x[0] = 1
    with pytest.raises(TypeError):
        data.splits["train"] = Split(X, Y)


@pytest.mark.parametrize("shape", [(900, 4), (3, 1000)])
def test_jax_shares_its_memory_on_a_cpu(shape):
    x = np.random.default_rng(0).random(shape)
    data = make(x=x, y=np.zeros(len(x), int))
    placed = jax.device_put(data["train"].x, jax.devices("cpu")[0])
    assert placed.unsafe_buffer_pointer() == data["train"].x.ctypes.data
    assert data["train"].x.flags.c_contiguous
    np.testing.assert_array_equal(data["train"].x, x)


def test_digest_says_which_arrays():
    assert make().sha256 == make().sha256
    assert make(x=X + 1).sha256 != make().sha256
    assert make(y=1 - Y).sha256 != make().sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": X[:3]}, r"as many examples, got \(3, 2\) and \(4,\)"),
        ({"y": Y + 1}, "below 2, the number of class names, got int64 from 1 to 2"),
        ({"y": Y.astype(float)}, "integer labels"),
        ({"x": X[:0], "y": Y[:0]}, "train is empty"),
    ],
)
def test_bad_arrays(change, says):
    with pytest.raises(ValueError, match=says):
        make(**change)
