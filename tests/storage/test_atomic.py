"""A file is whole and on the disk, or is not there."""

import errno
import os
import re
import stat
import threading

import pytest

from backhand.storage import atomic


def test_it_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def record(descriptor):
        what = os.fstat(descriptor)
        names = sorted(re.sub("[0-9a-f]{16}", "…", path.name) for path in tmp_path.iterdir())
        size = what.st_size * stat.S_ISREG(what.st_mode)
        synced.append((stat.S_ISDIR(what.st_mode), size, names))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    atomic.write(tmp_path / "a", b"four")
    assert synced == [(False, 4, [".backhand-….partial"]), (True, 0, ["a"])]
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


def test_a_planted_link_is_not_followed_and_other_partial_files_stay(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "a.partial").symlink_to("victim")
    (tmp_path / "a").symlink_to("victim")
    atomic.write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "a.partial").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_guessed_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "guessed")
    (tmp_path / ".backhand-guessed.partial").symlink_to("victim")
    with pytest.raises(FileExistsError):
        atomic.write(tmp_path / "a", b"new")
    assert not (tmp_path / "victim").exists()


def test_permissions_stay(tmp_path):
    path = tmp_path / "a"
    atomic.write(path, b"old")
    usual = stat.S_IMODE(path.stat().st_mode)
    (tmp_path / "b").touch()
    assert usual == stat.S_IMODE((tmp_path / "b").stat().st_mode)
    path.chmod(0o600)
    atomic.write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    atomic.write(tmp_path / ("n" * 255), b"new")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


def test_two_writers_of_one_file_leave_one_of_the_two(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(2)]

    def write(content):
        for _ in range(50):
            atomic.write(tmp_path / "a", content)

    atomic.write(tmp_path / "a", contents[0])
    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none/a'"):
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
