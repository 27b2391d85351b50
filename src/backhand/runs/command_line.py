"""An experiment's command line, and the command that repeats a run."""

import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from backhand.runs.run import Config, RefusedError, Run


def main(
    config_type: type[Config],
    experiment: Callable[[Config, Run], None],
    description: str,
    prog: str | None = None,
) -> None:
    """An experiment's command line: flags to config, a run folder, the experiment, the receipt.

    A config that makes no sense, or a folder that can't be written, ends it with a message and status 2
    before anything has run, and leaves no folder but one that was there; Ctrl-C with status 130, after saying
    what was kept. `prog` is how it is called, where that is not `python FILE`.
    """
    name = Path(sys.argv[0]).stem
    args = [word for argument in sys.argv[1:] for word in _words(argument)]
    config = tyro.cli(config_type, args=args, prog=prog or f"python {sys.argv[0]}", description=description)
    resumed = getattr(config, "resume", None)
    try:
        run = Run.start(name, config) if resumed is None else Run.resume(name, config, resumed)
    except RefusedError as error:
        _fail(f"{name}: {error}")
    except OSError as error:
        folder = f"--out {config.out}" if resumed is None else f"--resume {resumed}"
        _fail(f"{name}: {folder} can't be written: {error.strerror or error}")
    start = time.monotonic()
    try:
        experiment(run.config, run)  # type: ignore[arg-type]
    except RefusedError as error:
        if resumed is None:
            shutil.rmtree(run.folder)
        _fail(f"{name}: {error}")
    except KeyboardInterrupt:
        run.finish("interrupted", time.monotonic() - start)
        print(f"\n{name}: interrupted; what was finished is kept in {run.folder}", file=sys.stderr)
        sys.exit(130)
    except BaseException:
        run.finish("failed", time.monotonic() - start)
        raise
    run.finish("finished", time.monotonic() - start)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table, 100 columns wide at most: the first column and a verdict are words, the rest numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column == "verdict" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = min(console.width, 100) if console.is_terminal else 100
    console.print(table)


def _words(argument: str) -> list[str]:
    """Widths may be written with commas, as in --hidden 8,8 or --hidden=8,8; the command line wants 8 8."""
    return re.split("[=,]", argument) if re.fullmatch(r"(--[\w-]+=)?\d+(,\d+)+", argument) else [argument]


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)
