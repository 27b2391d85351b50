"""Diabetes patients: a small and noisy regression that needs no network."""

import numpy as np

from backhand.data.dataset import Dataset, Split


def diabetes() -> Dataset:
    """scikit-learn's 442 diabetes patients: from ten measurements, the disease a year later.

    x (442, 10) holds age, sex, body mass index, mean blood pressure and six blood serum
    measurements, each in its own unit; y (442, 1) is a measure of disease progression one year on,
    from 25 to 346. Both are float32. All patients are in one split, "all": so few are best
    cross-validated. From Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression (2004).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_diabetes
    except ImportError as error:
        raise ImportError(
            "diabetes comes with scikit-learn: pip install 'backhand[data]'"
        ) from error

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return Dataset("diabetes", {"all": Split(x.astype(np.float32), y.astype(np.float32)[:, None])})
