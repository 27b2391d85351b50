"""Data: what a dataset is, and where to get one."""

from backhand.data.dataset import Dataset, Split
from backhand.data.digits import digits
from backhand.data.images import tfds

__all__ = ["Dataset", "Split", "digits", "tfds"]
