"""What a dataset is: named splits of arrays, and a digest that says exactly which arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from backhand.storage.digests import sha256

ALIGNMENT = 64  # bytes, of the first number of an array that JAX uses on a CPU without a copy


class Split(NamedTuple):
    """Examples and their targets: x (examples, …), y (examples, …)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)  # two datasets are the same if their sha256 is
class Dataset:
    """Named splits of one set of data, in read-only numpy arrays: `data["train"].x`.

    The arrays are copies, aligned so that `jax.device_put` shares their memory on a CPU.

    Attributes:
      name: what it is called.
      splits: by name, in order, such as train, validation, test.
      class_names: what the labels 0, 1, … mean; empty if the targets are not labels.
      image_shape: (height, width), if a row of x is a picture.
      feature_names: what the columns of x are called; empty if they have no names.

    Raises ValueError if a split is empty, its x and y differ in length, or its labels are not
    integers below the number of class names.
    """

    name: str
    splits: Mapping[str, Split]
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        splits = {name: Split(_aligned(x), _aligned(y)) for name, (x, y) in self.splits.items()}
        for name, (x, y) in splits.items():
            said, classes = f"{self.name}: {name}", len(self.class_names)
            if len(x) != len(y):
                got = f"got {x.shape} and {y.shape}"
                raise ValueError(f"{said} x and y should have as many examples, {got}")
            if len(x) == 0:
                raise ValueError(f"{said} is empty")
            if classes and not (y.dtype.kind in "iu" and y.min() >= 0 and y.max() < classes):
                raise ValueError(
                    f"{said} y should hold integer labels below {classes}, the number of class "
                    f"names, got {y.dtype} from {y.min()} to {y.max()}"
                )
        object.__setattr__(self, "splits", MappingProxyType(splits))

    def __getitem__(self, split: str) -> Split:
        """The split of that name; KeyError names those there are."""
        if split not in self.splits:
            raise KeyError(f"{self.name} has the splits {', '.join(self.splits)}, not {split!r}")
        return self.splits[split]

    @property
    def sha256(self) -> str:
        """The SHA-256 of all arrays with their names, dtypes and shapes, in hexadecimal."""
        arrays: dict[str, np.ndarray] = {}
        for name, (x, y) in self.splits.items():
            arrays |= {f"{name}.x": x, f"{name}.y": y}
        return sha256(arrays)


def _aligned(a: np.ndarray) -> np.ndarray:
    """A read-only copy of an array that begins at a multiple of ALIGNMENT bytes."""
    a = np.asarray(a)
    buffer = np.empty(a.nbytes + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    copy = buffer[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    buffer.flags.writeable = copy.flags.writeable = False
    return copy
