"""Faults injected: whatever call fails, and whenever power goes, nothing that was finished is lost.

A run with two trainings that write checkpoints is carried out on a disk whose n-th call fails, for
every n, and then resumed on a good one; and so is the resuming of a run that was cut. It ends the
same, or says what can't be done. Then its disk loses what was not yet synced, at every moment.
"""

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backhand.reporting import Report, Table
from backhand.storage.checkpoints import Checkpoint
from tests.runs.toys import files

ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "ESTALE", "EACCES")}
STEPS = 3


def train(run):
    """Two trainings, each from its newest checkpoint on."""
    for name in ("one", "two"):
        checkpoints = run.checkpoints(name)
        newest = checkpoints.newest()
        step, w = (newest.step, newest.arrays["w"]) if newest else (0, np.zeros(3))
        while step < STEPS:
            step, w = step + 1, 0.5 * w + step
            checkpoints.save(Checkpoint(step, {"w": w}, {}), wait=step == STEPS)
        run.keep(name, {"w": w}, {"loss": np.arange(3.0)}, test=0.5)


def report(config, run):
    run.write("figures/a.svg", "a")
    return Report("A toy", "It went well.", "", [], Table(("net",), [(name,) for name in run.kept]))


def name_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The receipt asks neither git nor the source, which takes most of the time of such a run."""
    monkeypatch.setattr("backhand.runs.folder.begun", lambda name, settings: {"config": settings})


class Disk:
    """Calls on what is in a folder: `called` is told of each before it is made."""

    def __init__(self, monkeypatch, folder: Path, called: Callable[[str, Path], None]) -> None:
        def of_path(name: str, real: Callable[..., object]) -> Callable[..., object]:
            def call(path, *more, dir_fd=None, **options):
                if dir_fd is not None:
                    options["dir_fd"] = dir_fd
                tell(name, (Path() if dir_fd is None else name_of(dir_fd)) / os.fspath(path))
                return real(path, *more, **options)

            return call

        def tell(name: str, path: Path) -> None:
            if path.absolute().is_relative_to(folder):
                called(name, path.absolute())

        class Raw(io.FileIO):
            def write(self, content):
                tell("write", Path(self.name))
                return super().write(content)

        real_open, real_fsync = io.open, os.fsync

        def opened(path, mode="r", *more, **options):
            if not isinstance(path, str | os.PathLike) or "x" not in mode:
                if isinstance(path, str | os.PathLike):
                    tell("open", Path(path))
                return real_open(path, mode, *more, **options)
            tell("create", Path(path))
            return io.BufferedWriter(Raw(path, mode.replace("b", "")))

        def fsync(descriptor):
            tell("fsync", name_of(descriptor))
            real_fsync(descriptor)

        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(os, "fsync", fsync)
        for name in ("open", "replace", "unlink", "mkdir", "rmdir", "chmod"):
            monkeypatch.setattr(os, name, of_path(name, getattr(os, name)))


def failing(monkeypatch, folder: Path, n: int, number: int, forever: bool) -> list[str]:
    """A disk whose n-th call fails, and if `forever` all after it; returns the calls so far."""
    calls: list[str] = []

    def called(name: str, path: Path) -> None:
        calls.append(f"{name} {path.name}")
        if len(calls) == n or (forever and len(calls) > n):
            named = () if name in ("write", "fsync") else (str(path),)
            raise OSError(number, os.strerror(number), *named)

    Disk(monkeypatch, folder, called)
    return calls


def results(folder: Path) -> dict[str, bytes]:
    """What should be the same however a run came to its end."""
    return {
        name: content
        for name, content in files(folder).items()
        if name not in ("receipt.json", "report.html")
        and not name.startswith("checkpoints/")
        and ".partial" not in name  # of a process that could not remove it, and came to its end
    }


def is_clear(ended) -> bool:
    """It exited with a sentence, and no traceback."""
    words = ("can't be written", "should be the folder of a run", "was removed", "should be a file")
    return ended.error is None and any(word in ended.err for word in words)


def outcome(folder: Path) -> str | None:
    path = folder / "receipt.json"
    return json.loads(path.read_text())["outcome"] if path.exists() else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "forever", "resumes"),
    [
        *((name, False, False) for name in ERRORS),
        *(("ENOSPC", True, False), ("EIO", False, True), ("EIO", True, True)),
    ],
)
def test_whatever_call_fails(toy, cut, tmp_path, monkeypatch, name, forever, resumes):
    wanted = results(toy(train, report=report).folder)

    def half(run):
        run.checkpoints("one").save(Checkpoint(1, {"w": np.zeros(3)}, {}), wait=True)

    n = 0
    while True:
        n += 1
        begun = [cut(half).folder] if resumes else []
        flags = ["--resume", begun[0]] if resumes else []
        before = set((tmp_path / "out" / "toy").iterdir()) - set(begun)
        with monkeypatch.context() as patched:
            calls = failing(patched, tmp_path / "out" / "toy", n, ERRORS[name], forever)
            ended = toy(train, *flags, report=report)
        (*made,) = set((tmp_path / "out" / "toy").iterdir()) - before
        at = f"{name} at call {n}, {calls[n - 1] if n <= len(calls) else 'none'}: {ended}"
        if len(calls) < n:
            assert ended.status == 0, at
            break
        assert ended.status == 0 or is_clear(ended), at
        for folder in made:
            if outcome(folder) != "finished" and (folder / "config.json").exists():
                again = toy(train, "--resume", folder, report=report)
                assert (again.status, again.error) == (0, None), f"{at}\n{again}"
            if (folder / "config.json").exists():
                assert results(folder) == wanted, at
    assert n > 40


Operation = tuple[str, Path, bytes]  # rename or unlink, a name, and its content then


class Ram:
    """What a disk holds for sure: names and contents as of their last sync; the rest is pending."""

    def __init__(self, monkeypatch, folder: Path) -> None:
        self.folder = folder
        self.synced: dict[Path, bytes] = {}  # contents, by name
        self.pending: list[Operation] = []
        self.contents: dict[Path, bytes] = {}  # synced, of files whose names may not be
        self.moments: list[tuple[dict[Path, bytes], list[Operation]]] = []
        real = os.replace

        def called(name: str, path: Path) -> None:
            self.moments.append((dict(self.synced), list(self.pending)))
            if name == "fsync" and path.is_dir():
                for operation in [o for o in self.pending if o[1].parent == path]:
                    self.pending.remove(operation)
                    apply(self.synced, operation)
            elif name == "fsync":
                self.contents[path] = path.read_bytes()
            elif name == "unlink":
                self.pending.append(("unlink", path, b""))

        Disk(monkeypatch, folder, called)
        patched = os.replace

        def replace(source, target):
            patched(source, target)
            content = self.contents.pop(Path(source).absolute(), b"")
            self.pending.append(("rename", Path(target).absolute(), content))

        assert real is not patched
        monkeypatch.setattr(os, "replace", replace)

    def now(self) -> None:
        self.moments.append((dict(self.synced), list(self.pending)))


def apply(disk: dict[Path, bytes], operation: Operation) -> None:
    name, path, content = operation
    if name == "rename":
        disk[path] = content
    else:
        disk.pop(path, None)


@pytest.mark.slow
def test_whenever_power_goes(toy, tmp_path, monkeypatch):
    """What was not synced is lost, or came to the disk in part and in any order."""
    folder, rng = tmp_path / "out" / "toy", np.random.default_rng(0)
    with monkeypatch.context() as patched:
        ram = Ram(patched, folder)
        whole = toy(train, report=report)
        ram.now()
    wanted, finished = results(whole.folder), 0
    for synced, pending in ram.moments:
        for share in (0.0, 0.5, 1.0):
            disk = dict(synced)
            for operation in pending:
                if rng.random() < share:
                    apply(disk, operation)
            after = folder / f"after-{rng.integers(2**62)}"
            for path, content in disk.items():
                there = after / path.relative_to(whole.folder)
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(content)
            if not (after / "config.json").exists():
                continue  # it had not begun
            if outcome(after) == "finished":
                finished += 1
            else:
                again = toy(train, "--resume", after, report=report)
                assert (again.status, again.error) == (0, None), again
            assert results(after) == wanted
    last, pending = ram.moments[-1]
    assert whole.folder / "receipt.json" in last
    assert not [operation for operation in pending if operation[0] == "rename"]
    assert finished >= 3
