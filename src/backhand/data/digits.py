"""Handwritten digits that need no network."""

import numpy as np

from backhand.data.dataset import Dataset, Split


def digits(seed: int = 0) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8×8 pixels, split 70/10/20: train, validation, test.

    x (examples, 64) is float32, ink from 0 to 1 (the file's 0 … 16, divided); y (examples,) is
    int32. The split is stratified, each part holding the digits in the same proportions, and drawn
    by `seed`, an integer ≥ 0. From the test set of Kaynak's optical recognition of handwritten
    digits (UCI, 1998).

    Raises ImportError, with what to install, if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError("digits comes with scikit-learn: pip install 'backhand[data]'") from error

    def part(x: np.ndarray, y: np.ndarray, share: float) -> list[np.ndarray]:
        return list(train_test_split(x, y, test_size=share, stratify=y, random_state=seed))

    images, labels = load_digits(return_X_y=True)
    x, test_x, y, test_y = part((images / 16).astype(np.float32), labels.astype(np.int32), 0.2)
    x, val_x, y, val_y = part(x, y, 0.125)
    splits = {
        "train": Split(x, y),
        "validation": Split(val_x, val_y),
        "test": Split(test_x, test_y),
    }
    return Dataset("digits", splits, tuple("0123456789"), (8, 8))
