"""Files written whole or not at all."""

import contextlib
import errno
import os
from pathlib import Path


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under a temporary name and to the disk, then rename it to its own.

    Raises OSError that names the file if that fails; what was there before then stays. Once it
    returns, the file survives a power cut.
    """
    path = Path(path)
    temporary = path.with_name(path.name + PARTIAL)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise
    sync_folder(path.parent)


PARTIAL = ".partial"  # ends the name of a file that is not whole yet


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk: until then a power cut can take a new file's name."""
    if os.name != "posix":  # elsewhere a folder can't be opened
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that syncs by itself, or can't
            raise
    finally:
        os.close(opened)
