"""The one frame of all experiments: flags, the run's folder, training, report, receipt, status."""

import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import jax
import tyro
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from backhand.data import Dataset
from backhand.reporting import Report, Table, code, heading
from backhand.runs.config import Config, flags, resume_command
from backhand.runs.folder import RefusedError, Run, stored_settings
from backhand.storage.checkpoints import MismatchError
from backhand.storage.json_values import JSON
from backhand.training.interrupts import Handler

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
    name = Path(sys.argv[0]).stem
    args = [word for argument in sys.argv[1:] for word in _words(argument)]

    def parsed(words: Sequence[str]) -> C:
        called = f"python {sys.argv[0]}"
        return tyro.cli(config_type, args=words, prog=called, description=description)

    config = parsed(args)
    warnings.showwarning = lambda message, *_: print(f"{name}: {message}", file=sys.stderr)
    use_compilation_cache()
    start, stop = time.monotonic(), None
    data: tuple[Data, ...] = ()
    with _handling(_terminate, signal.SIGTERM):
        run = _opened(name, config, lambda stored: parsed([*flags(stored), *args]))
        try:
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
                    _show(run, report(run.config, run, *data), run.config.command(name))
            if stop is None:
                run.finish("finished", time.monotonic() - start)
        except BaseException as error:
            asked = isinstance(stop, KeyboardInterrupt | FloatingPointError)
            if stop is None or (asked and _ending(name, run, error)[1] is None):
                stop = error
        if stop is None:
            return
        outcome, message, status = _ending(name, run, stop)
        with _handling(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM), suppress(OSError):
            run.finish(outcome, time.monotonic() - start)
        if message is None:
            raise stop
        _exit(message, status)


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or 80 columns. Longer cells wrap; nothing is cut."""
    rows = [[str(cell) for cell in row] for row in table.rows]
    grid = RichTable(title=table.caption or None, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, column in enumerate(table.header):
        numbers = i > 0 and all(re.match("[-+−]?[0-9∞]|NaN|$", row[i]) for row in rows)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 80
    console.print(grid)


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


def _words(argument: str) -> list[str]:
    """--hidden 8,8 and --hidden=8,8 as the parser wants them: --hidden 8 8."""
    pattern = r"(--[\w-]+=)?\d+(,\d+)+"
    return re.split("[=,]", argument) if re.fullmatch(pattern, argument) else [argument]


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


def _show(run: Run, report: Report, again: str) -> None:
    """Write the report, with the command that repeats the run and the receipt; print its table."""

    def words(value: object) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {words(v)}" for key, v in value.items()) or "none"
        return " ".join(map(words, value)) if isinstance(value, list | tuple) else str(value)

    rows = [(key.replace("_", " "), words(value)) for key, value in run.receipt.items()]
    receipt = Table(("what", "which"), rows, "Versions, device and digests")
    page = report.html(heading("Again"), code(again), receipt.html())
    path = run.write("report.html", page)
    print_table(report.table)
    if "params_sha256" in run.receipt:
        print(f"parameters  sha256 {run.receipt['params_sha256']}")
    print(f"report      {path}")


def _ending(name: str, run: Run, stop: BaseException) -> tuple[str, str | None, int]:
    """How a run ended: its outcome, a message, and the status; no message for a bug."""
    there = run.folder.is_dir()
    kept = f"what was finished is kept in {run.folder}" if there else "nothing is kept"
    if isinstance(stop, FloatingPointError):  # which a resumed run would come to, too
        return "not finite", f"{name}: {' '.join(str(stop).split())}\n{kept}", 1
    if there and hasattr(run.config, "resume"):
        kept += f"\nto resume   {resume_command(name, run.config, run.folder)}"
    if isinstance(stop, KeyboardInterrupt):
        return "interrupted", f"\n{name}: interrupted; {kept}", _status(stop)
    if isinstance(stop, OSError):
        ours = Path(str(stop.filename)).absolute().is_relative_to(run.folder.absolute())
        if ours and not (there and isinstance(stop, FileNotFoundError)):
            return "failed", f"{name}: {_unwritable(stop)}; {kept}", 1
    return "failed", None, 1


def _unwritable(error: OSError) -> str:
    return f"{error.filename} can't be written: {error.strerror or error}"


def _status(stop: KeyboardInterrupt) -> int:
    return 143 if isinstance(stop, Terminated) else 130


@contextmanager
def _handling(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals so inside, and as before afterwards."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old or signal.SIG_DFL)  # None was not set from Python


def _terminate(*_: object) -> None:
    raise Terminated


def _exit(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)
