"""Checkpoints: whole or not at all, read only as written, the newest and the best kept."""

import errno
import json
import os
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from backhand.storage import Checkpoint, Checkpoints, MismatchError, atomic, checkpoints, save
from backhand.storage.checkpoints import check_checkpoints

W = np.arange(6, dtype=np.float32).reshape(2, 3)
CONFIG = {"seed": 3}


def checkpoint(step, score=None):
    return Checkpoint(step, {"w": W + step}, {"epoch": step}, score)


def written(folder, steps=(1, 2, 3), config=CONFIG, scores=()):
    saving = Checkpoints(folder, config)
    for step, score in zip(steps, [*scores, *[None] * len(steps)], strict=False):
        saving.save(checkpoint(step, score), wait=True)
    return saving


def on_disk(folder):
    return sorted(int(path.stem) for path in folder.glob("*.safetensors"))


def test_what_was_saved_comes_back(tmp_path):
    saving = written(tmp_path, scores=(None, None, 0.5))
    again = Checkpoints(tmp_path, CONFIG)
    assert again.latest is None
    saved = again.newest()
    assert (saved.step, saved.facts, saved.score) == (3, {"epoch": 3}, 0.5)
    np.testing.assert_array_equal(saved.arrays["w"], W + 3)
    assert saved.arrays["w"].dtype == np.float32
    assert again.latest is saved
    assert saving.latest.step == 3


def test_nothing_there(tmp_path):
    none = Checkpoints(tmp_path / "none")
    assert none.newest() is None
    assert none.latest is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("scores", "kept"),
    [((), [4, 5]), ((3.0, 1.0, 2.0), [2, 4, 5]), ((3.0, 2.0, 1.0, 0.5, 0.1), [4, 5])],
)
def test_the_newest_and_the_best_are_kept(tmp_path, scores, kept):
    written(tmp_path, (1, 2, 3, 4, 5), scores=scores)
    assert on_disk(tmp_path) == kept


def test_the_best_is_known_after_a_restart(tmp_path):
    written(tmp_path, (1, 2), scores=(1.0, 2.0))
    again = Checkpoints(tmp_path, CONFIG)
    again.newest()
    for step in (3, 4, 5):
        again.save(checkpoint(step, 3.0), wait=True)
    assert on_disk(tmp_path) == [1, 4, 5]


def test_steps_are_numbers(tmp_path):
    """Not text: 10 is newer than 9."""
    written(tmp_path, (8, 9, 10))
    assert on_disk(tmp_path) == [9, 10]
    assert Checkpoints(tmp_path, CONFIG).newest().step == 10


def test_any_damage_is_found_and_the_one_before_is_used(tmp_path):
    written(tmp_path, (2, 3))
    path = tmp_path / "3.safetensors"
    content = path.read_bytes()
    before = (tmp_path / "2.safetensors").read_bytes()
    middle = len(content) // 2
    flips = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in (0, 9, middle, -1)]
    cuts = [content[:middle], content[:-1], b""]
    for damaged in [*flips, *cuts, content + b"\0", b"mine"]:
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="is damaged") as said:
            saved = Checkpoints(tmp_path, CONFIG).newest()
        (aside,) = tmp_path.glob("damaged-3-*")
        text = str(said[0].message)
        assert text.startswith(f"checkpoint {path} is damaged (")
        assert text.endswith(f"it is not used, and now called {aside.name}")
        assert aside.read_bytes() == damaged
        assert (saved.step, saved.facts) == (2, {"epoch": 2})
        np.testing.assert_array_equal(saved.arrays["w"], W + 2)
        assert (tmp_path / "2.safetensors").read_bytes() == before
        aside.unlink()


def test_all_damaged(tmp_path):
    written(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is damaged") as said:
        assert Checkpoints(tmp_path, CONFIG).newest() is None
    assert len(said) == 2
    assert on_disk(tmp_path) == []


def test_what_was_saved_by_something_else_is_set_aside(tmp_path):
    """Parameters in a whole file, and a name that a checkpoint could have."""
    written(tmp_path)
    save(tmp_path / "9.safetensors", {"w": W})
    (tmp_path / "mine.safetensors").write_text("mine")
    with pytest.warns(UserWarning, match=r"9\.safetensors is damaged \(it is not a checkpoint\)"):
        assert Checkpoints(tmp_path, CONFIG).newest().step == 3
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


def test_what_was_half_written_is_not_read_and_goes_with_the_next(tmp_path):
    written(tmp_path)
    (tmp_path / ".backhand-0123456789abcdef.partial").write_bytes(b"half")
    (tmp_path / "mine.partial").write_bytes(b"mine")
    again = Checkpoints(tmp_path, CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert again.newest().step == 3
    again.save(checkpoint(5), wait=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["3.safetensors", "5.safetensors", "mine.partial"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_one_that_cannot_be_read_now_is_not_called_damaged(tmp_path, monkeypatch, number):
    """The newest, or an older one that scored best: both stay, and the error is raised."""
    written(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    for name in before:
        opened = Path.open

        def fail(path, *mode, name=name, opened=opened):
            if path.name == name:
                raise OSError(number, os.strerror(number), str(path))
            return opened(path, *mode)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", fail)
            with pytest.raises(OSError, match=name) as caught:
                Checkpoints(tmp_path, CONFIG).newest()
        assert caught.value.errno == number
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert Checkpoints(tmp_path, CONFIG).newest().step == 3


def test_one_that_is_there_already_stays(tmp_path):
    saving = written(tmp_path)
    before = (tmp_path / "3.safetensors").stat().st_mtime_ns
    saving.save(checkpoint(3, score=0.0), wait=True)
    assert (tmp_path / "3.safetensors").stat().st_mtime_ns == before


def test_a_different_config_is_refused_with_what_differs(tmp_path):
    written(tmp_path, config={"seed": 3, "hidden": [4], "rate": 0.1})
    says = rf"{tmp_path} belong to a different config: hidden was \[4\], and is \[5\]; seed was 3, "
    with pytest.raises(MismatchError, match=says + "and is None"):
        Checkpoints(tmp_path, {"hidden": (5,), "rate": 0.1}).newest()
    assert issubclass(MismatchError, ValueError)
    assert on_disk(tmp_path) == [2, 3]


def test_it_is_written_while_the_training_continues(tmp_path, monkeypatch):
    started, goes = threading.Event(), threading.Event()

    def slow(path, content, write=atomic.write):
        started.set()
        assert goes.wait(10)
        write(path, content)

    monkeypatch.setattr(atomic, "write", slow)
    saving = Checkpoints(tmp_path)
    saving.save(checkpoint(1))
    assert started.wait(10)
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    assert (on_disk(tmp_path), saving.due()) == ([], False)  # it is being written
    goes.set()
    saving.close()
    assert on_disk(tmp_path) == [1]
    saving.close()


def test_they_take_a_fiftieth_of_the_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(path, content, write=atomic.write):
        now[0] += 0.2
        write(path, content)

    monkeypatch.setattr(atomic, "write", slow)
    saving = Checkpoints(tmp_path)
    for at, due in [(104.9, False), (105.1, True)]:  # the first is taken to need 0.1 s
        now[0] = at
        assert saving.due() is due
    now[0] = 200.0
    saving.save(checkpoint(1), wait=True)
    for at, due in [(201.0, False), (209.9, False), (210.1, True)]:
        now[0] = at
        assert saving.due() is due
    saving.save(checkpoint(1), wait=True)  # is there: how long one takes is known from before
    for at, due in [(220.0, False), (220.2, True)]:
        now[0] = at
        assert saving.due() is due


def test_what_is_not_installed_is_no_damage(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'backhand\[cli\]'"):
        Checkpoints(tmp_path, CONFIG).newest()
    assert on_disk(tmp_path) == [2, 3]


def test_no_memory_is_no_damage(tmp_path, monkeypatch):
    written(tmp_path)

    def none_left(path):
        raise MemoryError

    monkeypatch.setattr(checkpoints.parameters, "read", none_left)
    with pytest.raises(MemoryError):
        Checkpoints(tmp_path, CONFIG).newest()
    assert on_disk(tmp_path) == [2, 3]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"Not a directory: '.*file/a'"):
        Checkpoints(tmp_path / "file" / "a").save(checkpoint(1), wait=True)


def test_what_the_writer_could_not_do_is_raised_by_the_next_call(tmp_path, monkeypatch):
    written(tmp_path, (1,))
    saving = Checkpoints(tmp_path, CONFIG)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    says = r"No space left on device: '.*/2\.safetensors'"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        saving.save(checkpoint(2))
        with pytest.raises(OSError, match=says):
            saving.save(checkpoint(3))
        saving.save(checkpoint(2))
        with pytest.raises(OSError, match=says):
            saving.close()
    saving.close()  # it was said
    assert on_disk(tmp_path) == [1]
    saving.save(checkpoint(4), wait=True)
    assert on_disk(tmp_path) == [1, 4]


def test_a_folder_that_is_removed_is_made_again(tmp_path):
    saving = written(tmp_path / "a", (1,))
    shutil.rmtree(tmp_path / "a")
    saving.save(checkpoint(2), wait=True)
    assert Checkpoints(tmp_path / "a", CONFIG).newest().step == 2


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saving = Checkpoints("a")
    monkeypatch.chdir("/")
    saving.save(checkpoint(1), wait=True)
    assert on_disk(tmp_path / "a") == [1]


def test_a_config_in_the_terms_of_json(tmp_path):
    assert json.dumps(Checkpoints(tmp_path, {"a": (1, 2)}).config) == '{"a": [1, 2]}'
    for config in ({"a": object()}, {"a": {1, 2}}, [1]):
        with pytest.raises(TypeError, match="config should be what JSON can hold"):
            Checkpoints(tmp_path, config)


def test_check_checkpoints(tmp_path):
    check_checkpoints("fit", "checkpoints", None)
    check_checkpoints("fit", "checkpoints", Checkpoints(tmp_path))
    with pytest.raises(TypeError, match=r"such as Checkpoints\('folder'\), got PosixPath"):
        check_checkpoints("fit", "checkpoints", tmp_path)
