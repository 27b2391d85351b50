"""Data: what a dataset is, and where to get one."""

from backhand.data.dataset import Dataset, Split
from backhand.data.digits import digits
from backhand.data.planar import blobs, circle, gauss, lesson, moons, spiral, spirals, xor
from backhand.data.points import read_points

__all__ = [
    "Dataset",
    "Split",
    "blobs",
    "circle",
    "digits",
    "gauss",
    "lesson",
    "moons",
    "read_points",
    "spiral",
    "spirals",
    "xor",
]
