"""What a dataset is: named splits of arrays, and a digest that says exactly which arrays."""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from backhand.storage.digests import sha256


class Split(NamedTuple):
    """Examples and their targets: x (examples, …), y (examples, …)."""

    x: Any
    y: Any


def check_seed(caller: str, seed: Any) -> None:
    """Raise unless seed is an integer of at least 0."""
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise TypeError(f"{caller}: seed should be an integer, got {seed!r}")
    if seed < 0:
        raise ValueError(f"{caller}: seed should be at least 0, got {seed}")


@dataclass(frozen=True, eq=False)  # two datasets are the same where their sha256 is
class Dataset:
    """Named splits of one set of data, in read-only numpy arrays: `data["train"].x`.

    Attributes:
      name: what it is called.
      splits: by name, in order, such as train, validation, test.
      class_names: what the labels 0, 1, … mean; empty where the targets are not labels.
      image_shape: (height, width), where a row of x is a picture.
      feature_names: what the columns of x are called; empty where they have no names.
    """

    name: str
    splits: Mapping[str, Split]
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        splits = {}
        for name, (x, y) in self.splits.items():
            x, y = np.array(x), np.array(y)  # copies: what the caller does with theirs is no matter here
            if len(x) != len(y):
                raise ValueError(
                    f"{self.name}: {name} x and y should have as many examples, got {x.shape} and {y.shape}"
                )
            if len(x) == 0:
                raise ValueError(f"{self.name}: {name} is empty")
            if self.class_names and not (
                y.dtype.kind in "iu" and y.min() >= 0 and y.max() < len(self.class_names)
            ):
                raise ValueError(
                    f"{self.name}: {name} y should hold integer labels below {len(self.class_names)}, the number of "
                    f"class names, got {y.dtype} from {y.min()} to {y.max()}"
                )
            x.flags.writeable = y.flags.writeable = False
            splits[name] = Split(x, y)
        object.__setattr__(self, "splits", MappingProxyType(splits))

    def __getitem__(self, split: str) -> Split:
        """The split of that name; KeyError names those there are."""
        if split not in self.splits:
            raise KeyError(f"{self.name} has the splits {', '.join(self.splits)}, not {split!r}")
        return self.splits[split]

    @property
    def sha256(self) -> str:
        """The SHA-256 of all arrays with their names, dtypes and shapes, in hexadecimal."""
        return sha256(
            {f"{name}.{part}": a for name, s in self.splits.items() for part, a in s._asdict().items()}
        )
