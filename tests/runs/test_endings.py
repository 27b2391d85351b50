"""How a run ends that does not end well: one clear message, and what was finished is whole."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backhand import runs
from backhand.runs.command_line import Terminated
from backhand.runs.folder import going_on

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
    assert result.stderr.splitlines() == [
        f"toy: {where}/metrics.jsonl can't be written: file too large; what was finished is kept in {where}",
        f"to go on    make toy RESUME={where}",
    ]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "metrics.jsonl", "receipt.json", "results.json")
    ]
    assert json.loads((folder / "results.json").read_text()) == [1, 2, 3]
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert set(lines) == {'{"loss": 0.123456}\n'}
    assert len(lines) == 5000 // len(lines[0])
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "failed"


@pytest.mark.parametrize("size", [1, 3000, 100_000])
def test_however_much_has_no_room(tmp_path, monkeypatch, capsys, size):
    """The rest of a file may fail to be written once, or again as it is closed."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def body(run):
        run.write("a", "before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            run.write("a", "a" * (50_000 + size))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    status, said, folder = ended(tmp_path, monkeypatch, capsys, body)
    assert (status, said.count("\n")) == (1, 1)
    assert f"{folder}/a can't be written: file too large" in said
    assert (folder / "a").read_text() == "before"


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
        f"toy: {folder}/results.json can't be written: {words}; what was finished is kept in {folder}\n",
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
    assert (status, said) == (
        1,
        f"toy: {folder} is gone: it was removed while the run was going on; nothing is kept\n",
    )
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "words"), [("a" * 256, "file name too long"), ("config.json/a", "not a directory")]
)
def test_names_that_no_file_can_have(tmp_path, monkeypatch, capsys, name, words):
    status, said, _ = ended(tmp_path, monkeypatch, capsys, lambda run: run.write(name, "a"))
    assert status == 1
    assert f"{name} can't be written: {words}; what was finished is kept" in said


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

    monkeypatch.setattr("backhand.storage.parameters.write", full)
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        runs.main(Config, lambda config, run: pytest.fail("it ran"), "A toy.")
    assert "config.json can't be written: no space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop(tmp_path, number, status):
    command = program(tmp_path, "print('training', flush=True)", "__import__('time').sleep(60)")
    process = subprocess.Popen(
        [*command, "--out", "my runs"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate()
    (folder,) = (tmp_path / "my runs").iterdir()
    assert process.returncode == status
    assert said.splitlines() == [
        "",
        f"toy: interrupted; what was finished is kept in my runs/{folder.name}",
        f"""to go on    make toy RESUME="'my runs/{folder.name}'\"""",
    ]
    assert (folder / "report.html").exists()
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "interrupted"


def test_the_command_to_go_on_says_where_the_data_are(tmp_path):
    """Of a file that lay elsewhere the run only knows the name."""

    @dataclass(frozen=True)
    class WithData:
        out: Path = tmp_path
        csv: Path | None = tmp_path / "points.csv"
        data_dir: Path | None = Path("data")
        resume: Path | None = None

    run = runs.Run.start("toy", WithData())
    words = f"RESUME={run.folder} CSV={tmp_path}/points.csv DATA_DIR=data"
    assert going_on("toy", run) == f"make toy {words}"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (Terminated(), KeyboardInterrupt(), 143),
        (KeyboardInterrupt(), KeyboardInterrupt(), 130),
        (KeyboardInterrupt(), runs.FolderError("full"), 130),
    ],
)
def test_stopped_again_on_its_way_out(tmp_path, monkeypatch, capsys, first, second, status):
    def body(run):
        try:
            raise first
        finally:
            raise second

    before = signal.getsignal(signal.SIGTERM)
    got, said, folder = ended(tmp_path, monkeypatch, capsys, body)
    assert (got, said) == (status, f"\ntoy: interrupted; what was finished is kept in {folder}\n")
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


def test_numbers_that_are_not_finite(tmp_path, monkeypatch, capsys):
    class NonFiniteError(FloatingPointError):
        pass

    def body(run):
        raise NonFiniteError("training stopped at step 137:\n  the loss is nan.")

    status, said, folder = ended(tmp_path, monkeypatch, capsys, body)
    assert (status, said) == (
        1,
        f"toy: training stopped at step 137: the loss is nan.\nwhat was finished is kept in {folder}\n",
    )
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "not finite"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("place", ["backhand.runs.folder.begun", "backhand.storage.parameters.write"])
def test_asked_to_stop_before_it_began(tmp_path, monkeypatch, capsys, number, status, place):
    monkeypatch.setattr(place, lambda *_: signal.raise_signal(number))
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        runs.main(Config, lambda config, run: pytest.fail("it ran"), "A toy.")
    assert stop.value.code == status
    assert capsys.readouterr().err == "\ntoy: interrupted before it began\n"
    assert list(tmp_path.glob("out/*")) == []


def test_ctrl_c_while_the_receipt_is_written(tmp_path, monkeypatch, capsys):
    finish = runs.Run.finish

    def pressed(run, *args):
        signal.raise_signal(signal.SIGINT)
        finish(run, *args)

    def body(run):
        monkeypatch.setattr(runs.Run, "finish", pressed)
        raise KeyboardInterrupt

    status, _, folder = ended(tmp_path, monkeypatch, capsys, body)
    assert status == 130
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "interrupted"


def test_in_another_thread_no_signal_is_handled(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["toy.py", "--out", str(tmp_path)])
    thread = threading.Thread(target=runs.main, args=(Config, lambda config, run: None, "A toy."))
    thread.start()
    thread.join()
    (receipt,) = tmp_path.glob("*/receipt.json")
    assert json.loads(receipt.read_text())["outcome"] == "finished"
