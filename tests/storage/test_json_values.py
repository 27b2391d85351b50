"""Values in JSON's terms."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from backhand.storage.json_values import plain


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"a": 1, 2: (True, None, "x")}, {"a": 1, "2": [True, None, "x"]}),
        (np.array([[1, 2], [3, 4]], np.int8), [[1, 2], [3, 4]]),
        ([np.float32(0.5), np.bool_(True), np.array(7)], [0.5, True, 7]),
        ([math.nan, math.inf, -np.float64(np.inf), 1.0], [None, None, None, 1.0]),
        (np.array([0.5, np.nan]), [0.5, None]),
        ([Path("runs/a"), Path("/home/me/mine.csv")], ["runs/a", "mine.csv"]),
    ],
)
def test_plain(value, wanted):
    assert plain(value) == wanted
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == wanted
