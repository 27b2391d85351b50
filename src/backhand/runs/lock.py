"""One process at a time in a run's folder."""

import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where whoever goes on with a run must see to it that it has ended
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A file that this process holds for as long as it lives and has the lock; however it ends, the system frees it."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR)  # to write, without which NFS does not lock
        self._close = weakref.finalize(self, os.close, descriptor)
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._close()
                raise
            except OSError:  # a file system without locks is like Windows
                pass


_held: weakref.WeakValueDictionary[tuple[int, int], Lock] = weakref.WeakValueDictionary()


def lock(path: Path) -> Lock:
    """Hold a file, which stays as it is; one that this process holds already is shared.

    Raises BlockingIOError where another process holds it; OSError where it can't be opened to write.
    """
    status = path.stat()
    key = (status.st_dev, status.st_ino)
    held = _held.get(key)
    if held is None:
        _held[key] = held = Lock(path)
    return held
