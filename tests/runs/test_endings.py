"""How a run ends that does not end well: one clear message, and what was finished is whole."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backhand import runs

TOY = """
from dataclasses import dataclass
from pathlib import Path
from backhand import runs

@dataclass(frozen=True)
class Config:
    out: Path = Path("runs/toy")
    resume: Path | None = None

def run(config, run):
    run.write_json("results.json", [1, 2, 3])
    try:
        BODY
    finally:
        run.write("report.html", str(run.read_json("results.json")) * 1000)

runs.main(Config, run, "A toy.")
"""


def program(folder: Path, *body: str) -> list[str]:
    (folder / "toy.py").write_text(TOY.replace("BODY", "\n        ".join(body)))
    return [sys.executable, "toy.py"]


@dataclass(frozen=True)
class Config:
    out: Path


def ended(tmp_path, monkeypatch, capsys, body) -> tuple[Any, str, Path]:
    """Of a run in this process: its exit status, its message, its folder."""
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    folders: list[Path] = []

    def experiment(config, run):
        folders.append(run.folder)
        body(run)

    with pytest.raises(SystemExit) as stop:
        runs.main(Config, experiment, "A toy.")
    return stop.value.code, capsys.readouterr().err, folders[0]


def test_a_file_that_may_grow_no_more(tmp_path):
    """As on a full disk: the last line that has no room leaves no part of itself, nor does the report."""
    command = program(
        tmp_path,
        "import resource",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))",
        "while True: run.log(loss=0.123456)",
    )
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    (folder,) = (tmp_path / "runs" / "toy").iterdir()
    where = folder.relative_to(tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == (
        f"toy: {where}/metrics.jsonl can't be written: file too large; what was written before is kept in {where}"
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "metrics.jsonl", "receipt.json", "results.json")
    ]
    assert json.loads((folder / "results.json").read_text()) == [1, 2, 3]
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert set(lines) == {'{"loss": 0.123456}\n'}
    assert len(lines) == 5000 // len(lines[0])
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "failed"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on device"),
        (errno.EDQUOT, "disk quota exceeded"),
        (errno.EROFS, "read-only file system"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_a_disk_that_takes_nothing_more(tmp_path, monkeypatch, capsys, number, words):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    def body(run):
        run.write("results.json", "[1]")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            run.write("results.json", "[1, 2]")

    before = {}

    def whole(run):  # the receipt, too, fails
        before["config.json"] = (run.folder / "config.json").read_bytes()
        try:
            body(run)
        finally:
            monkeypatch.setattr(os, "fsync", full)

    status, said, folder = ended(tmp_path, monkeypatch, capsys, whole)
    assert (status, said) == (
        1,
        f"toy: {folder}/results.json can't be written: {words}; what was written before is kept in {folder}\n",
    )
    assert (folder / "results.json").read_text() == "[1]"
    assert (folder / "config.json").read_bytes() == before["config.json"]
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.log(epoch=1),
        lambda run: run.write("figures/a.svg", "a"),
        lambda run: run.read_json("results.json"),
        lambda run: run.metrics(),
        lambda run: None,  # so the receipt is the first to be missed
    ],
)
def test_a_folder_that_was_removed(tmp_path, monkeypatch, capsys, use):
    def body(run):
        shutil.rmtree(run.folder)
        use(run)

    status, said, folder = ended(tmp_path, monkeypatch, capsys, body)
    assert (status, said) == (1, f"toy: {folder} is gone: it was removed while the run was going on\n")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "words"), [("a" * 256, "file name too long"), ("config.json/a", "not a directory")]
)
def test_names_that_no_file_can_have(tmp_path, monkeypatch, capsys, name, words):
    status, said, _ = ended(tmp_path, monkeypatch, capsys, lambda run: run.write(name, "a"))
    assert status == 1
    assert f"{name} can't be written: {words}; what was written before is kept" in said


def test_what_failed_on_the_way_out_does_not_hide_the_cause(tmp_path, monkeypatch, capsys):
    def body(run):
        try:
            run.write("a" * 256, "")
        finally:
            run.read_json("results.json")  # which is not there for that reason

    status, said, _ = ended(tmp_path, monkeypatch, capsys, body)
    assert (status, said.count("\n")) == (1, 1)
    assert "file name too long" in said


def test_a_full_disk_does_not_hide_a_bug(tmp_path, monkeypatch):
    def body(config, run):
        try:
            raise ZeroDivisionError
        finally:
            run.write("a" * 256, "")

    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    with pytest.raises(runs.FolderError) as stop:
        runs.main(Config, body, "A toy.")
    assert isinstance(stop.value.__cause__.__context__, ZeroDivisionError)


def test_what_cannot_be_read_elsewhere_shows_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        runs.main(Config, lambda config, run: (tmp_path / "absent").read_text(), "A toy.")


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(tmp_path, monkeypatch, capsys):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("backhand.files.write", full)
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        runs.main(Config, lambda config, run: pytest.fail("it ran"), "A toy.")
    assert "config.json can't be written: no space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
