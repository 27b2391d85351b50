"""SHA-256 of a set of named arrays, and of a program that XLA compiles."""

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
        digest.update(a.tobytes())
    return digest.hexdigest()


def fingerprint(program: str) -> str:
    """The SHA-256, in hexadecimal, of a program's StableHLO, `jitted.lower(…).as_text()`.

    It names every operation, shape and constant, and not where the source lies.
    """
    return hashlib.sha256(program.encode()).hexdigest()
