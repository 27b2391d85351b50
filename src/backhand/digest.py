"""Which arrays exactly: one SHA-256 for a set of named arrays."""

import hashlib
from collections.abc import Mapping

import numpy as np


def sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256, in hexadecimal, of named arrays, whatever the order they come in.

    Name, dtype and shape are hashed before the bytes, so that no two different sets share their stream.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        digest.update(f"{name!r} {a.dtype.str} {arrays[name].shape}\n".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()
