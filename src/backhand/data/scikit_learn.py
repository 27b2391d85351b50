"""Data sets that come with scikit-learn and need no network: handwritten digits, diabetes."""

from typing import Any

import numpy as np

from backhand.data.dataset import Dataset, Split


def scikit_learn() -> Any:
    """scikit-learn; ImportError, with what to install, if it is missing."""
    try:
        import sklearn.datasets
        import sklearn.model_selection
    except ImportError as error:
        raise ImportError("the data need scikit-learn: pip install 'backhand[data]'") from error
    return sklearn


def stratified(x: np.ndarray, y: np.ndarray, share: float, seed: int) -> tuple[Split, Split]:
    """Examples in two parts that hold the classes in the same proportions, drawn by `seed`.

    share: what the second part gets, as a fraction or a number of examples.
    """
    x, more_x, y, more_y = scikit_learn().model_selection.train_test_split(
        x, y, test_size=share, stratify=y, random_state=seed
    )
    return Split(x, y), Split(more_x, more_y)


def digits(seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8×8 pixels, split 70/10/20 into train, validation and test.

    x (examples, 64) is float32, ink from 0 to 1 (the file's 0 … 16, divided); y (examples,) is
    int32. The split is stratified, each part holding the digits in the same proportions, and drawn
    by `seed`, an integer ≥ 0. From the test set of Kaynak's optical recognition of handwritten
    digits (UCI, 1998).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    images, labels = scikit_learn().datasets.load_digits(return_X_y=True)
    x, y = (images / 16).astype(np.float32), labels.astype(np.int32)
    rest, test = stratified(x, y, 0.2, seed)
    train, validation = stratified(*rest, 0.125, seed)
    splits = {"train": train, "validation": validation, "test": test}
    return Dataset("digits", splits, tuple("0123456789"), (8, 8))


def diabetes() -> Dataset:
    """442 diabetes patients: from ten measurements, the disease a year later.

    x (442, 10) holds age, sex, body mass index, mean blood pressure and six blood serum
    measurements, each in its own unit; y (442, 1) is a measure of disease progression one year on,
    from 25 to 346. Both are float32. All patients are in one split, "all": so few are best
    cross-validated. From Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression (2004).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    x, y = scikit_learn().datasets.load_diabetes(return_X_y=True, scaled=False)
    return Dataset("diabetes", {"all": Split(x.astype(np.float32), y.astype(np.float32)[:, None])})
