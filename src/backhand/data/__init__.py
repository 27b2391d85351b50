"""Data: what a dataset is, and where to get one."""

from backhand.data import curves
from backhand.data.dataset import Dataset, Split
from backhand.data.diabetes import diabetes
from backhand.data.digits import digits

__all__ = ["Dataset", "Split", "curves", "diabetes", "digits"]
