"""How a run ends: finished, refused or stopped; the message is clear, what was kept is whole."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from backhand import data, runs
from backhand.reporting import Report, Table
from backhand.runs.command_line import Terminated
from backhand.storage.checkpoints import Checkpoint
from tests.runs.toys import Config, files


def report(config, run, *_):
    return Report("A toy", "It went well.", "", [], Table(("net",), [(name,) for name in run.kept]))


def keep(run, *_):
    run.keep("net", {"w": np.ones(2)}, {"loss": np.array([2.0, 1.0])}, test=0.5)


def test_a_finished_run(toy, tmp_path):
    flags = ["--seed", 7, "--hidden", 5, 6, 7, "--csv", tmp_path / "points.csv"]
    ended = toy(keep, *flags, report=report)
    assert (ended.status, ended.error, ended.err) == (0, None, "")
    run = ended.made[0]
    assert run.config == Config(7, tmp_path / "out", None, (5, 6, 7), csv=tmp_path / "points.csv")
    assert ended.receipt["outcome"] == "finished"
    assert files(run.folder).keys() == {
        *("config.json", "metrics.jsonl", "params.safetensors", "receipt.json", "report.html"),
        "results.json",
    }
    table, end = ended.out.split("parameters  ")
    assert table.split() == ["net", "─" * 4, "net"]
    assert end == f"sha256 {ended.receipt['params_sha256']}\nreport      {run.folder}/report.html\n"
    html = files(run.folder)["report.html"].decode()
    assert "It went well." in html
    assert "make toy SEED=7 &#x27;HIDDEN=5 6 7&#x27; CSV=/path/to/points.csv" in html
    assert ended.receipt["source_sha256"] in html


def test_a_run_that_kept_nothing_has_no_report(toy):
    ended = toy(report=report)
    assert (ended.status, ended.out) == (0, "")
    assert files(ended.folder).keys() == {"config.json", "receipt.json"}


@pytest.mark.parametrize("words", ["--hidden 5 6", "--hidden 5,6", "--hidden=5,6", "--hidden"])
def test_widths_with_and_without_commas(toy, words):
    assert toy(lambda run: None, *words.split()).made[0].config.hidden == (
        (5, 6) if "5" in words else ()
    )


def test_a_wrong_flag(toy, tmp_path):
    ended = toy(lambda run: None, "--sead", "7")
    assert (ended.status, ended.made) == (2, [])
    assert "--seed" in ended.err  # what was meant
    assert not (tmp_path / "out").exists()


def dataset(seed=0):
    return data.Dataset("toy", {"train": data.Split(np.full((2, 1), seed), np.zeros(2))})


@pytest.mark.parametrize("number", [1, 2])
def test_data_are_loaded_and_their_digest_is_kept(toy, number):
    sets = [dataset(seed) for seed in range(number)]
    got = []
    ended = toy(
        lambda run, data: (got.append(data), keep(run)),
        load=lambda config: sets if number > 1 else sets[0],
        report=lambda config, run, data: (got.append(data), report(config, run))[1],
    )
    assert ended.status == 0
    assert got == ([sets, sets] if number > 1 else sets * 2)
    digests = [each.sha256 for each in sets]
    assert ended.receipt["data_sha256"] == (digests if number > 1 else digests[0])


@pytest.mark.parametrize("error", [OSError("no network"), ValueError("no such data")])
def test_data_that_cannot_be_loaded_refuse_the_run(toy, tmp_path, error):
    def load(config):
        raise error

    ended = toy(lambda *_: pytest.fail("it ran"), load=load)
    assert (ended.status, ended.err) == (2, f"toy: {error}\n")
    assert list((tmp_path / "out" / "toy").iterdir()) == []


def test_a_refused_run_leaves_nothing(toy, tmp_path):
    def train(run):
        raise runs.RefusedError("batch_size should be at most 5, got 9")

    ended = toy(train)
    assert (ended.status, ended.err) == (2, "toy: batch_size should be at most 5, got 9\n")
    assert list((tmp_path / "out" / "toy").iterdir()) == []


@pytest.mark.parametrize("flags", ["--seed=3", "--seed 3", "--no-compare", "--hidden=1,2"])
def test_a_resume_with_other_flags_is_refused(toy, cut, flags):
    """A default that is given counts."""
    run = cut(seed=4, compare=True)
    before = files(run.folder)
    ended = toy(lambda run: pytest.fail("it ran"), "--resume", run.folder, *flags.split())
    assert ended.status == 2
    assert "leave it out to resume" in ended.err
    assert files(run.folder) == before


def test_a_resume_with_other_data_leaves_the_folder_as_it_was(toy, cut):
    run = cut(lambda run: (run.data(dataset(0).sha256), run.log(epoch=1)))
    before = files(run.folder)
    ended = toy(lambda *_: pytest.fail("it ran"), "--resume", run.folder, load=lambda _: dataset(1))
    assert ended.status == 2
    assert f"{run.folder} was started with different data: SHA-256 was" in ended.err
    assert files(run.folder) == before


def test_checkpoints_of_a_different_training_are_refused(toy, cut):
    run = cut(lambda run: run.checkpoints("net").save(Checkpoint(1, {}, {}), wait=True))
    run.write_json("config.json", run.read_json("config.json") | {"seed": 4, "csv": None})
    before = files(run.folder)
    ended = toy(lambda run: run.checkpoints("net").newest(), "--resume", run.folder)
    assert ended.status == 2
    assert "net belong to a different config: seed was 0, and is 4" in ended.err
    assert files(run.folder) == before


def test_a_resumed_run_is_carried_out(toy, cut):
    asked = {"seed": 4, "hidden": (), "compare": True, "csv": Path("my points.csv")}
    run = cut(lambda run: run.log(epoch=1), **asked)
    flags = ["--resume", run.folder, "--seed", 4]  # what it was may be said again
    ended = toy(keep, *flags, report=report)
    assert (ended.status, ended.err) == (0, "")
    assert ended.made[0].config == replace(run.config, resume=run.folder)
    assert len(files(run.folder)["metrics.jsonl"].splitlines()) == 2


def test_a_resume_with_settings_that_are_invalid_now_is_refused(toy, cut):
    run = cut()
    for hidden, words in (([1] * 4, "hidden should be 3 widths at most"), ("--out", "--out")):
        run.write_json("config.json", run.read_json("config.json") | {"hidden": hidden, "csv": ""})
        ended = toy(lambda run: pytest.fail("it ran"), "--resume", run.folder)
        assert ended.status == 2
        assert words in " ".join(ended.err.split())


def deep(path):
    path.write_text("[" * 100_000)


def endless(path):
    with path.open("wb") as file:
        file.truncate(20 * 2**30)  # sparse


@pytest.mark.parametrize("name", ["config.json", "receipt.json"])
@pytest.mark.parametrize("hostile", [os.mkfifo, deep, endless])
def test_a_resume_from_hostile_files_is_refused(toy, cut, name, hostile):
    run = cut()
    (run.folder / name).unlink()
    hostile(run.folder / name)
    ended = toy(lambda run: pytest.fail("it ran"), "--resume", run.folder)
    assert (ended.status, ended.error) == (2, None)
    assert f"resume should be the folder of a run, with its {name}" in ended.err


def test_a_folder_that_cannot_be_made(toy, tmp_path):
    (tmp_path / "out").write_text("a file is in the way")
    ended = toy(lambda run: pytest.fail("it ran"))
    assert ended.status == 2
    assert f"toy: {tmp_path}/out/toy can't be written: Not a directory" in ended.err


def test_a_folder_to_resume_that_cannot_be_written(toy, cut):
    run = cut()
    (run.folder / "receipt.json").unlink()
    (run.folder / "receipt.json").mkdir()  # root may write anywhere, but not over a folder
    ended = toy(lambda run: None, "--resume", run.folder)
    assert ended.status == 2
    assert f"{run.folder}/receipt.json should be a file" in ended.err


def full(number=errno.ENOSPC):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full())
    ended = toy(lambda run: pytest.fail("it ran"))
    assert ended.status == 2
    assert "can't be written: No space left on device" in ended.err
    assert list((tmp_path / "out" / "toy").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EDQUOT, "Disk quota exceeded"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_disk_that_takes_nothing_more(toy, monkeypatch, number, words):
    def train(run):
        keep(run)
        run.write("a", "before")
        monkeypatch.setattr(os, "fsync", full(number))  # from now on: the receipt fails, too
        run.write("a", "after")

    ended = toy(train, report=report)
    kept = f"what was finished is kept in {ended.folder}"
    resume = f"to resume   make toy RESUME={ended.folder}"
    assert ended.status == 1
    assert ended.err == f"toy: {ended.folder}/a can't be written: {words}; {kept}\n{resume}\n"
    assert ended.receipt["outcome"] == "running"
    left = files(ended.folder)
    assert left.keys() == {"a", "config.json", "receipt.json"}
    assert left["a"] == b"before"


@pytest.mark.parametrize("size", [1, 3000, 100_000])
def test_a_file_that_has_no_room(toy, size):
    """The rest of a file may fail to be written once, or again as it is closed; others are."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def train(run):
        keep(run)
        run.write("a", "before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            run.write("a", "a" * (50_000 + size))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    ended = toy(train, report=report)
    assert ended.status == 1
    assert (
        f"{ended.folder}/a can't be written: File too large; what was finished is kept" in ended.err
    )
    assert files(ended.folder)["a"] == b"before"
    assert ended.receipt["outcome"] == "failed"
    assert "report.html" in files(ended.folder)


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.log(epoch=1),
        lambda run: run.write("figures/a.svg", "a"),
        lambda run: run.read_json("results.json"),
        lambda run: None,  # so the receipt is the first to be missed
    ],
)
def test_a_folder_that_was_removed(toy, use):
    def train(run):
        shutil.rmtree(run.folder)
        use(run)

    ended = toy(train)
    assert ended.status == 1
    assert ended.err == f"toy: {ended.folder} was removed, and nothing is kept\n"
    assert not ended.folder.exists()


@pytest.mark.parametrize(
    ("name", "words"), [("a" * 256, "File name too long"), ("config.json/a", "Not a directory")]
)
def test_names_that_no_file_can_have(toy, name, words):
    ended = toy(lambda run: run.write(name, "a"))
    assert ended.status == 1
    assert f"{name} can't be written: {words}; what was finished is kept" in ended.err


@pytest.mark.parametrize("bug", [ZeroDivisionError(), FileNotFoundError(2, "absent", "elsewhere")])
def test_a_bug_shows_whole_and_what_was_kept_is_written(toy, bug):
    def train(run):
        keep(run)
        raise bug

    ended = toy(train, report=report)
    assert (ended.error, ended.err) == (bug, "")
    assert ended.receipt["outcome"] == "failed"
    assert "report.html" in files(ended.folder)


def test_a_missing_file_of_the_run_is_a_bug(toy):
    assert isinstance(toy(lambda run: run.read_json("absent.json")).error, FileNotFoundError)


@dataclass(frozen=True)
class NotResumable(runs.Config):
    pass


@pytest.mark.parametrize(
    ("error", "status", "outcome", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted", "\ntoy: interrupted; "),
        (Terminated(), 143, "interrupted", "\ntoy: interrupted; "),
        (FloatingPointError("step 137:\n  NaN."), 1, "not finite", "toy: step 137: NaN.\n"),
    ],
)
@pytest.mark.parametrize("config_type", [Config, NotResumable])
def test_stopped_it_reports_what_was_kept(toy, error, status, outcome, words, config_type):
    def train(run):
        keep(run)
        raise error

    ended = toy(train, report=report, config_type=config_type)
    resume = f"to resume   make toy RESUME={ended.folder}\n"
    resumable = config_type == Config and outcome == "interrupted"  # numbers stay as they are
    assert ended.status == status
    kept = f"what was finished is kept in {ended.folder}\n"
    assert ended.err == f"{words}{kept}{resume if resumable else ''}"
    assert ended.receipt["outcome"] == outcome
    assert "report.html" in files(ended.folder)
    assert "report   " in ended.out


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (Terminated(), KeyboardInterrupt(), 143),
        (KeyboardInterrupt(), OSError(errno.ENOSPC, "full", "config.json"), 130),
        (OSError(errno.ENOSPC, "full", "config.json"), ZeroDivisionError(), 1),
        (KeyboardInterrupt(), ZeroDivisionError(), "a bug"),
        (ZeroDivisionError(), KeyboardInterrupt(), "a bug"),
    ],
)
def test_stopped_again_while_it_reports(toy, first, second, status):
    before = signal.getsignal(signal.SIGTERM)

    def stop(run, error):
        if isinstance(error, OSError):
            error.filename = str(run.folder / error.filename)
        raise error

    ended = toy(
        lambda run: (keep(run), stop(run, first)), report=lambda config, run: stop(run, second)
    )
    assert ended.error == (
        next(e for e in (first, second) if isinstance(e, ZeroDivisionError))
        if status == "a bug"
        else None
    )
    assert status in (ended.status, "a bug")
    assert signal.getsignal(signal.SIGTERM) is before
    assert ended.receipt["outcome"] == ("interrupted" if status in (130, 143) else "failed")


def test_a_report_that_fails_fails_the_run(toy):
    ended = toy(keep, report=lambda config, run: 1 / 0)
    assert isinstance(ended.error, ZeroDivisionError)
    assert ended.receipt["outcome"] == "failed"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("place", ["backhand.runs.folder.begun", "backhand.storage.atomic.write"])
def test_asked_to_stop_before_it_started(toy, tmp_path, monkeypatch, number, status, place):
    """It begins whole, and is interrupted; asked twice, it does not begin."""
    module, name = place.rsplit(".", 1)
    real = getattr(sys.modules[module], name)
    for times in (1, 2):

        def pressed(*args, left=[number] * times):
            while left:
                signal.raise_signal(left.pop())
            return real(*args)

        with monkeypatch.context() as patched:
            patched.setattr(place, pressed)
            ended = toy(lambda run: pytest.fail("it ran"))
        assert (ended.status, ended.error) == (status, None)
        if times == 1:
            (receipt,) = tmp_path.glob("out/toy/*/receipt.json")
            assert json.loads(receipt.read_text())["outcome"] == "interrupted"
            shutil.rmtree(receipt.parent)
    assert ended.err == "\ntoy: interrupted before it started\n"
    assert list(tmp_path.glob("out/toy/*")) == []


@pytest.mark.parametrize("first", [None, KeyboardInterrupt()])
def test_ctrl_c_while_the_receipt_is_written(toy, monkeypatch, first):
    finish, calls = runs.Run.finish, []

    def pressed(run, *args):
        if not calls or first:
            calls.append(signal.raise_signal(signal.SIGINT))
        finish(run, *args)

    def train(run):
        monkeypatch.setattr(runs.Run, "finish", pressed)
        if first:
            raise first

    ended = toy(train)
    assert ended.status == (130 if first else 0)
    assert ended.receipt["outcome"] == ("interrupted" if first else "finished")


TOY = """
import time
from backhand import runs

def train(config, run):
    run.keep("net", answer=1)
    print("training", flush=True)
    time.sleep(60)

runs.main(runs.TrainingConfig, train, description="A toy.")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_is_asked_to_stop(tmp_path, number, status):
    (tmp_path / "toy.py").write_text(TOY)
    command = [sys.executable, "toy.py", "--out", "my runs"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate()
    (folder,) = (tmp_path / "my runs" / "toy").iterdir()
    where = f"my runs/toy/{folder.name}"
    assert process.returncode == status
    assert err.splitlines() == [
        "",
        f"toy: interrupted; what was finished is kept in {where}",
        f"to resume   make toy 'RESUME={where}'",
    ]
    assert (folder / "results.json").exists()
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "interrupted"


def test_a_table_wraps_at_80_columns_and_nothing_is_cut(capsys):
    long = "cross-entropy, nats, on the validation split"
    runs.print_table(Table(("net", long, long, "x"), [("a" * 50, "1.0 ± 0.1", "−2", "[b]")], long))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for words in ("cross-entropy", "validation", "1.0 ± 0.1", "−2", "[b]"):
        assert words in out
    assert out.count("a") >= 50
