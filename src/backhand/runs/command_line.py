"""An experiment's command line, and the command that repeats a run."""

import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from backhand.runs.folder import Config, FolderError, RefusedError, Run, going_on, reason


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a batch system whose time is up: it ends a run as Ctrl-C does."""


# What ends a run and is no bug, and what the receipt calls it.
STOPS = {KeyboardInterrupt: "interrupted", FloatingPointError: "not finite", FolderError: "failed"}


def main(
    config_type: type[Config],
    experiment: Callable[[Config, Run], None],
    description: str,
    prog: str | None = None,
) -> None:
    """An experiment's command line: flags to config, a run folder, the experiment, the receipt.

    A config that makes no sense, or a folder that can't be written, ends it with a message and status 2
    before anything has run, and leaves no folder but one that was there. What ends it later leaves what was finished,
    and a message without a traceback, which says how to go on where the config has a `resume`: a folder that can be
    written no more, with status 1; Ctrl-C, with status 130; SIGTERM, with 143. So does a FloatingPointError, as of
    training whose numbers are not finite any more, with status 1. A bug shows whole. `prog` is how it is called, where
    that is not `python FILE`.
    """
    name = Path(sys.argv[0]).stem
    args = [word for argument in sys.argv[1:] for word in _words(argument)]
    config = tyro.cli(config_type, args=args, prog=prog or f"python {sys.argv[0]}", description=description)
    warnings.showwarning = lambda message, *_: print(f"{name}: {message}", file=sys.stderr)
    with _handling({signal.SIGTERM: _terminate}):
        run = _opened(name, config, args)
        start = time.monotonic()
        try:
            experiment(run.config, run)  # type: ignore[arg-type]
            run.finish("finished", time.monotonic() - start)
        except RefusedError as error:
            with suppress(OSError):
                run.withdraw()
            _exit(f"{name}: {error}", 2)
        except BaseException as error:
            stop = _stop(error)
            outcome = next((words for kind, words in STOPS.items() if isinstance(stop, kind)), "failed")
            deaf = dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)
            with _handling(deaf), suppress(FolderError):  # without a receipt, too, the reason why is told
                run.finish(outcome, time.monotonic() - start)
            if stop is None:
                raise
            _exit(*_farewell(name, run, stop))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table, 100 columns wide at most: the first column and a verdict are words, the rest numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column == "verdict" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, emoji=False)  # words are shown as they are
    console.width = min(console.width, 100) if console.is_terminal else 100
    console.print(table)


def _words(argument: str) -> list[str]:
    """Widths may be written with commas, as in --hidden 8,8 or --hidden=8,8; the command line wants 8 8."""
    return re.split("[=,]", argument) if re.fullmatch(r"(--[\w-]+=)?\d+(,\d+)+", argument) else [argument]


def _opened(name: str, config: Config, args: Sequence[str]) -> Run:
    resumed = getattr(config, "resume", None)
    flags = [word.split("=")[0].removeprefix("--") for word in args if word.startswith("--")]
    said = [flag.replace("-", "_").removeprefix("no_") for flag in flags]
    try:
        return Run.start(name, config) if resumed is None else Run.resume(name, config, resumed, said)
    except (RefusedError, FolderError) as error:
        _exit(f"{name}: {error}", 2)
    except KeyboardInterrupt as stop:
        _exit(f"\n{name}: interrupted before it began", _status(stop))
    except OSError as error:
        folder = f"--out {config.out}" if resumed is None else f"--resume {resumed}"
        _exit(f"{name}: {folder} can't be written: {reason(error)}", 2)


def _stop(error: BaseException) -> BaseException | None:
    """What ended a run: of an exception, and those in whose wake it came, the first that is a stop; None for a bug.

    On its way out an experiment leaves what it can, which may be stopped in its turn.
    """
    chain = [error]
    while (before := chain[-1].__context__) is not None:
        chain.append(before)
    stops = [error for error in chain if isinstance(error, tuple(STOPS))]
    if not stops:
        return None
    first = stops[-1]
    if isinstance(first, FolderError):
        # What came after it lacked what could not be written; a bug before it is not to be hidden.
        return None if (first.__cause__ or first).__context__ else first
    return first if error in stops else None


def _farewell(name: str, run: Run, stop: BaseException) -> tuple[str, int]:
    """What a user is told of a run that was stopped, and the exit status."""
    kept = f"what was finished is kept in {run.folder}" if run.folder.is_dir() else "nothing is kept"
    if isinstance(stop, FloatingPointError):  # to go on would come to the same
        return f"{name}: {' '.join(str(stop).split())}\n{kept}", 1
    if run.folder.is_dir() and hasattr(run.config, "resume"):
        kept += f"\nto go on    {going_on(name, run)}"
    if isinstance(stop, KeyboardInterrupt):
        return f"\n{name}: interrupted; {kept}", _status(stop)
    return f"{name}: {stop}; {kept}", 1


def _status(stop: KeyboardInterrupt) -> int:
    return 143 if isinstance(stop, Terminated) else 130


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Meanwhile, handle signals so, which only the main thread can; afterwards, as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():  # None is one that was not set from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _terminate(*_: Any) -> None:
    raise Terminated


def _exit(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)
