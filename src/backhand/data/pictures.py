"""Pictures with labels, by name."""

import os

from backhand.data.dataset import Dataset
from backhand.data.scikit_learn import digits
from backhand.data.tensorflow_datasets import tfds


def pictures(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0) -> Dataset:
    """`digits`, which need no network, or what `tfds` knows by that name; raises as those do."""
    return digits(seed) if name == "digits" else tfds(name, data_dir, seed)
