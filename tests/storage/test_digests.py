"""Digests: equal for equal arrays, and for nothing else."""

import numpy as np
import pytest

from backhand.storage.digests import sha256

ARRAYS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}


def test_order_and_layout_do_not_matter():
    shuffled = {"b": ARRAYS["b"], "w": np.asfortranarray(ARRAYS["w"])}
    assert sha256(shuffled) == sha256(ARRAYS)


@pytest.mark.parametrize(
    "change",
    [
        {"w": ARRAYS["w"] + np.float32(1e-6)},
        {"w": ARRAYS["w"].reshape(3, 2)},
        {"w": ARRAYS["w"].view(np.int32)},
        {"b": -ARRAYS["b"]},  # dividing by −0 gives a different number
        {"c": np.zeros(0, np.float32)},
    ],
)
def test_everything_else_matters(change):
    assert sha256(ARRAYS | change) != sha256(ARRAYS)
