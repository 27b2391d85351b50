"""Handwritten digits that need no network."""

import numpy as np

from backhand.data.dataset import Dataset, Split


def digits(seed: int = 0) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8×8 pixels, split 70/10/20 into train, validation and test.

    x (examples, 64) is float32, ink from 0 to 1 (the file's 0 … 16, divided); y (examples,) is int32.
    The split is stratified, each part holding the digits in the same proportions, and drawn by `seed`, an
    integer ≥ 0. From the test set of Kaynak's optical recognition of handwritten digits (UCI, 1998).

    Raises ImportError, with what to install, where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError("digits comes with scikit-learn: pip install 'backhand[data]'") from error

    images, labels = load_digits(return_X_y=True)
    x, y = (images / 16).astype(np.float32), labels.astype(np.int32)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    train_x, val_x, train_y, val_y = train_test_split(x, y, test_size=0.125, stratify=y, random_state=seed)
    splits = {
        "train": Split(train_x, train_y),
        "validation": Split(val_x, val_y),
        "test": Split(test_x, test_y),
    }
    return Dataset("digits", splits, tuple("0123456789"), (8, 8))
