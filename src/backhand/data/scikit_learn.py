"""Data sets that come with scikit-learn and need no network: handwritten digits, diabetes."""

from typing import Any

import numpy as np

from backhand.data.dataset import Dataset, Split


def scikit_learn(what: str) -> Any:
    """scikit-learn, for a caller that says what needs it; ImportError if it is not installed."""
    try:
        import sklearn.datasets
        import sklearn.model_selection
    except ImportError as error:
        raise ImportError(f"{what} scikit-learn: pip install 'backhand[data]'") from error
    return sklearn


def digits(seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8×8 pixels, split 70/10/20 into train, validation and test.

    x (examples, 64) is float32, ink from 0 to 1 (the file's 0 … 16, divided); y (examples,) is
    int32. The split is stratified, each part holding the digits in the same proportions, and drawn
    by `seed`, an integer ≥ 0. From the test set of Kaynak's optical recognition of handwritten
    digits (UCI, 1998).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    sklearn = scikit_learn("digits comes with")

    def part(x: np.ndarray, y: np.ndarray, share: float) -> list[np.ndarray]:
        settings = {"test_size": share, "stratify": y, "random_state": seed}
        return list(sklearn.model_selection.train_test_split(x, y, **settings))

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    x, test_x, y, test_y = part((images / 16).astype(np.float32), labels.astype(np.int32), 0.2)
    x, val_x, y, val_y = part(x, y, 0.125)
    splits = {
        "train": Split(x, y),
        "validation": Split(val_x, val_y),
        "test": Split(test_x, test_y),
    }
    return Dataset("digits", splits, tuple("0123456789"), (8, 8))


def diabetes() -> Dataset:
    """442 diabetes patients: from ten measurements, the disease a year later.

    x (442, 10) holds age, sex, body mass index, mean blood pressure and six blood serum
    measurements, each in its own unit; y (442, 1) is a measure of disease progression one year on,
    from 25 to 346. Both are float32. All patients are in one split, "all": so few are best
    cross-validated. From Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression (2004).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    x, y = scikit_learn("diabetes comes with").datasets.load_diabetes(return_X_y=True, scaled=False)
    return Dataset("diabetes", {"all": Split(x.astype(np.float32), y.astype(np.float32)[:, None])})
