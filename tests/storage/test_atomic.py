"""A file is whole and on the disk, or is not there."""

import errno
import os
import stat

import pytest

from backhand.storage import atomic


def test_it_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def record(descriptor):
        what = os.fstat(descriptor)
        names = sorted(path.name for path in tmp_path.iterdir())
        size = what.st_size * stat.S_ISREG(what.st_mode)
        synced.append((stat.S_ISDIR(what.st_mode), size, names))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    atomic.write(tmp_path / "a", b"four")
    assert synced == [(False, 4, ["a.partial"]), (True, 0, ["a"])]
    assert (tmp_path / "a").read_bytes() == b"four"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_was_there_stays_if_it_fails(tmp_path, monkeypatch, error):
    atomic.write(tmp_path / "a", b"old")

    def fail(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)) as caught:
        atomic.write(str(tmp_path / "a"), b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    if isinstance(error, OSError):
        assert caught.value.filename == str(tmp_path / "a")


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none/a\.partial"):
        atomic.write(tmp_path / "none" / "a", b"")


@pytest.mark.parametrize(
    ("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)], ids=["EINVAL", "EIO"]
)
def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch, number, passes):
    """Some file systems can't sync a folder, or do it by themselves."""

    def fail(descriptor):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    if passes:
        atomic.sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="no"):
            atomic.sync_folder(tmp_path)


def test_folders_that_cannot_be_opened(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        patched.setattr(os, "open", None)
        atomic.sync_folder(".")
