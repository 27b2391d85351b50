"""IDX, the file format of MNIST and its kin: a header with the shape, then the bytes."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes of a gzipped IDX file, in an array of that many dimensions.

    The header is two zero bytes, the type (8, unsigned byte), the number of dimensions, and the
    size of each, four bytes big-endian (LeCun, Cortes and Burges, "The MNIST database of
    handwritten digits").

    Raises ValueError, naming the file, if it is not a whole gzip file, not IDX of unsigned bytes
    and that many dimensions, or has more or fewer bytes than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is not a whole gzip file: {error}") from error
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        wanted = f"{magic.hex(' ')}, IDX of unsigned bytes in {dimensions} dimensions"
        got = content[:4].hex(" ") or "nothing"
        raise ValueError(f"{path.name} should begin with {wanted}, got {got}")
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"{path.name} should hold {start} bytes of header and {' × '.join(map(str, shape))} of "
            f"data, as its header says, got {len(content)} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
