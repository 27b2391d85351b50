import numpy as np

from backhand.data import diabetes


def test_what_it_holds():
    data = diabetes()
    assert list(data.splits) == ["all"]
    x, y = data["all"]
    assert (x.shape, y.shape) == ((442, 10), (442, 1))
    assert x.dtype == y.dtype == np.float32
    assert (y.min(), y.max()) == (25, 346)
    assert 19 <= x[:, 0].min() < x[:, 0].max() <= 79  # age, in years: as measured, not scaled
    assert diabetes().sha256 == data.sha256
