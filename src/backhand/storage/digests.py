"""Which arrays exactly, and which program: SHA-256 of a set of named arrays, and of what XLA compiled."""

import hashlib
import re
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


def fingerprint(program: str) -> str:
    """The SHA-256, in hexadecimal, of a compiled program's text, `jitted.lower(…).compile().as_text()`.

    Where its source lies is left out: the same program built in another folder, or from other lines, has the same
    fingerprint. Another operation, shape, layout, fusion or constant gives another. Raises TypeError for no text.
    """
    if not isinstance(program, str):
        raise TypeError(f"fingerprint: program should be text, from as_text(), got {type(program).__name__}")
    # Tables of names and lines, and what each instruction says of its own; in quotes may stand anything.
    program = re.sub(
        r"^(FileNames|FunctionNames|FileLocations|StackFrames)\n(\d+ .*\n)*\n?", "", program, flags=re.M
    )
    program = re.sub(r', metadata=\{([^{}"]|"([^"\\]|\\.)*")*\}', "", program)
    return hashlib.sha256(program.encode()).hexdigest()
