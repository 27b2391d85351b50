"""The one frame of all experiments: flags, the run's folder, training, report, receipt, status."""

import io
import os
import re
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO, TypeVar

import jax
import tyro
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from backhand.data import Dataset
from backhand.reporting import Report, Table, code, heading
from backhand.runs.config import Config, check_choices, flags, resume_command, unread, words
from backhand.runs.folder import RefusedError, Run, stored_settings
from backhand.storage.checkpoints import MismatchError
from backhand.storage.json_values import JSON
from backhand.training.interrupts import ASKING, Handler

C = TypeVar("C", bound=Config)
Data = TypeVar("Data", bound=Dataset | Sequence[Dataset])
# JAX's settings: the cache's folder, and from how many seconds and bytes a program is kept.
CACHE = (
    "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)  # fmt: skip


class Terminated(KeyboardInterrupt):
    """SIGTERM, as from a batch system whose time is up: it ends a run as Ctrl-C does."""


def main(
    config_type: type[C],
    train: Callable[..., None],
    report: Callable[..., Report] | None = None,
    *,
    load: Callable[[C], Data] | None = None,
    description: str,
) -> None:
    """Run an experiment from the command line.

    Calls `train(config, run, data)`, writes what it kept, calls `report(config, run, data)`, writes
    the report and prints its table. Without `load`, neither is given data.

    What can't be done ends the program with a message and status 2, and leaves folders as they
    were: flags that make no sense, a RefusedError, an OSError or ValueError of `load`, checkpoints
    of a different training, a folder that can't be written.

    Other ends leave what was kept, with its report, and say how to resume: Ctrl-C (status 130),
    SIGTERM (143) and, with status 1, a FloatingPointError such as NonFiniteError, and an OSError
    about a file of the run, as on a full disk. A bug shows its traceback.
    """
    with Signals() as signals:
        ensure_streams()
        name, args = Path(sys.argv[0]).stem, words(config_type, sys.argv[1:])

        def parsed(words: Sequence[str]) -> C:
            called = f"python {sys.argv[0]}"
            return tyro.cli(config_type, args=words, prog=called, description=description)

        try:
            check_choices(config_type, args)
        except ValueError as error:
            _exit(f"{name}: {error}", 2)
        config = parsed(args)
        warnings.showwarning = lambda message, *_: say(f"{name}: {message}", sys.stderr)
        for setting in map(shlex.quote, unread(config_type, args)):
            does = f"make {name} {setting} does"
            say(f"{name}: {setting} in the environment sets nothing; {does}", sys.stderr)
        use_compilation_cache()
        run = _opened(name, config, lambda stored: parsed([*flags(stored), *args]))
        _carry_out(name, run, signals, train, report, load)


def _carry_out(
    name: str,
    run: Run,
    signals: "Signals",
    train: Callable[..., None],
    report: Callable[..., Report] | None,
    load: Callable[[C], Data] | None,
) -> None:
    """Do what an open run is for, and end it."""
    start = time.monotonic()
    page: Report | None = None
    stop: BaseException | None = None
    data: tuple[Data, ...] = ()
    try:
        with signals.heard():
            data = () if load is None else (_loaded(load, run),)
            train(run.config, run, *data)
    except (RefusedError, MismatchError) as error:
        with suppress(OSError):
            run.withdraw()
        _exit(f"{name}: {error}", 2)
    except BaseException as error:
        stop = error
    try:
        if run.kept:
            run.save_kept()
            if report is not None:
                with signals.heard():
                    page = report(run.config, run, *data)
                _write_report(run, page, run.config.command(name))
    except BaseException as error:
        asked = isinstance(stop, KeyboardInterrupt | FloatingPointError)
        if stop is None or (asked and _ending(name, run, error)[1] is None):
            stop = error
    outcome, message, status = _ending(name, run, stop)
    try:
        run.finish(outcome, time.monotonic() - start)
    except OSError as error:
        if stop is None:
            stop = error
            _, message, status = _ending(name, run, stop)
    if page is not None:
        print_table(page.table)
        if "params_sha256" in run.receipt:
            say(f"parameters  sha256 {run.receipt['params_sha256']}")
        say(f"report      {run.folder / 'report.html'}")
    if stop is not None:
        if message is None:
            raise stop
        _exit(message, status)


class Signals:
    """Ctrl-C and SIGTERM, heard only inside `heard`, so that everything else is done whole.

    One that comes outside is raised where `heard` begins next, or forgotten if it never does. A
    second one, before that, is raised wherever it comes.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._hears = False
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "Signals":
        for number in ASKING:
            # None was not set from Python. Whoever ignores a signal wants it ignored.
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Raise KeyboardInterrupt or Terminated inside, as soon as one comes."""
        self._hears = True
        try:
            if self._asked is not None:
                self._come(self._asked, None)
            yield
        finally:
            self._hears = False

    def _come(self, number: int, _: FrameType | None) -> None:
        first, self._asked = self._asked is None, number
        if self._hears or not first:
            self._asked = None
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def ensure_streams() -> None:
    """Give a process without standard streams the null device; what can't be shown becomes "?".

    Otherwise the next file that is opened would take their place, and be written to.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8", errors="replace"))
        elif isinstance(stream, io.TextIOWrapper) and name == "stdout":
            stream.reconfigure(errors="replace")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text; if nobody can read it, that changes nothing."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except OSError:  # a closed pipe, a full device: what is left in the buffer must go somewhere
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or 80 columns. Longer cells wrap; nothing is cut."""
    rows = [[str(cell) for cell in row] for row in table.rows]
    terminal, text = Console(), io.StringIO()
    lines = box.SIMPLE_HEAD.substitute(terminal.options)
    grid = RichTable(title=table.caption or None, box=lines, padding=(0, 1, 0, 0))
    for i, column in enumerate(table.header):
        numbers = i > 0 and all(re.match("[-+−]?[0-9∞]|NaN|$", row[i]) for row in rows)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    width = terminal.width if terminal.is_terminal else 80
    plain = Console(
        file=text, width=width, force_terminal=terminal.is_terminal, markup=False, emoji=False,
        highlight=False,
    )  # fmt: skip
    plain.print(grid)
    say(text.getvalue().rstrip("\n"))


def use_compilation_cache() -> None:
    """Keep what JAX compiles in the user's cache folder, unless the user or the program decided."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "backhand" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # it can't be made, or there is no home
        return
    warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation cache")
    for name, value in zip(CACHE, (str(folder), 0, -1), strict=True):
        jax.config.update(name, value)


def _opened(name: str, config: C, completed: Callable[[Mapping[str, JSON]], C]) -> Run:
    """Start a run, or resume one, whose settings complete the flags."""
    resumed = getattr(config, "resume", None)
    try:
        if resumed is None:
            return Run.start(name, config)
        return Run.resume(name, completed(stored_settings(name, config, resumed)), resumed)
    except ValueError as error:
        _exit(f"{name}: {error}", 2)
    except KeyboardInterrupt as stop:
        _exit(f"\n{name}: interrupted before it started", _status(stop))
    except OSError as error:
        _exit(f"{name}: {_unwritable(error)}", 2)


def _loaded(load: Callable[[C], Data], run: Run) -> Data:
    try:
        data = load(run.config)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        raise RefusedError(error) from error
    run.data(data.sha256 if isinstance(data, Dataset) else [each.sha256 for each in data])
    return data


def _write_report(run: Run, report: Report, again: str) -> None:
    """Write the report, with the command that repeats the run, and the receipt."""

    def words(value: object) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {words(v)}" for key, v in value.items()) or "none"
        return " ".join(map(words, value)) if isinstance(value, list | tuple) else str(value)

    rows = [(key.replace("_", " "), words(value)) for key, value in run.receipt.items()]
    receipt = Table(("what", "which"), rows, "Versions, device and digests")
    run.write("report.html", report.html(heading("Again"), code(again), receipt.html()))


def _ending(name: str, run: Run, stop: BaseException | None) -> tuple[str, str | None, int]:
    """How a run ended: its outcome, a message, and the status; no message for a bug."""
    if stop is None:
        return "finished", None, 0
    there = run.folder.is_dir()
    kept = f"what was finished is kept in {run.folder}"
    if not there and isinstance(stop, OSError | KeyboardInterrupt):
        return "failed", f"{name}: {run.folder} was removed, and nothing is kept", 1
    if isinstance(stop, FloatingPointError):  # which a resumed run would come to, too
        return "not finite", f"{name}: {' '.join(str(stop).split())}\n{kept}", 1
    if hasattr(run.config, "resume"):
        kept += f"\nto resume   {resume_command(name, run.config, run.folder)}"
    if isinstance(stop, KeyboardInterrupt):
        return "interrupted", f"\n{name}: interrupted; {kept}", _status(stop)
    if isinstance(stop, OSError):
        ours = Path(str(stop.filename)).absolute().is_relative_to(run.folder.absolute())
        if ours and not isinstance(stop, FileNotFoundError):
            return "failed", f"{name}: {_unwritable(stop)}; {kept}", 1
    return "failed", None, 1


def _unwritable(error: OSError) -> str:
    return f"{error.filename} can't be written: {error.strerror or error}"


def _status(stop: KeyboardInterrupt) -> int:
    return 143 if isinstance(stop, Terminated) else 130


def _exit(message: str, status: int) -> NoReturn:
    say(message, sys.stderr)
    sys.exit(status)
