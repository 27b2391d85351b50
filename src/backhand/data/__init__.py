"""Data: what a dataset is, and where to get one."""

from backhand.data.csv_points import read_points
from backhand.data.curves import curve
from backhand.data.dataset import Dataset, Split
from backhand.data.points import blobs, circle, gauss, lesson, moons, spiral, spirals, xor
from backhand.data.scikit_learn import diabetes, digits
from backhand.data.tensorflow_datasets import pictures, tfds

__all__ = [
    "Dataset", "Split", "blobs", "circle", "curve", "diabetes", "digits", "gauss", "lesson",
    "moons", "pictures", "read_points", "spiral", "spirals", "tfds", "xor",
]  # fmt: skip
