"""SHA-256 of a set of named arrays."""

import hashlib
from collections.abc import Mapping

import numpy as np


def sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256, in hexadecimal, of named arrays, in whatever order they come.

    Name, dtype and shape are hashed before the bytes, so no two different sets give one stream.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        digest.update(f"{name!r} {a.dtype.str} {arrays[name].shape}\n".encode())
        digest.update(a.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
