"""Files written whole or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".backhand-", ".partial"  # how the name of a file begins and ends that is not whole yet


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under a temporary name and to the disk, then rename it to its own.

    The temporary name can't be guessed, so no link can wait under it, and two processes never write
    one file. A file that was there keeps its permissions. Raises OSError that names the file if
    that fails; what was there before then stays. Once it returns, the file survives a power cut.
    """
    path = Path(path)
    temporary = path.with_name(secrets.token_hex(8).join(PARTIAL))
    with naming(path):
        try:
            with temporary.open("xb") as file:  # it fails if something is there, a link too
                if path.exists() and path.stat().st_mode != temporary.stat().st_mode:
                    temporary.chmod(stat.S_IMODE(path.stat().st_mode))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make an OSError name this file, not its temporary name; that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk: until then a power cut can take a new file's name."""
    if os.name != "posix":  # elsewhere a folder can't be opened
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that syncs by itself, or can't
            raise
    finally:
        os.close(opened)
