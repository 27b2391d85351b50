"""Execute a notebook and leave a page of it: python -m backhand.runs.notebook LESSON.py.

It is a program in jupytext's percent format (`# %%` starts a cell, `# %% [markdown]` one of prose),
which Jupyter and VS Code open as a notebook. Cells run in a kernel of this Python, with a home of
its own, so that no user's settings change the results; it is spoken to through files, not ports.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import jax
import jupytext
import nbformat
import tyro
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from rich.console import Console
from rich.progress import track

from backhand import runs
from backhand.reporting import Report, Table
from backhand.runs.command_line import CACHE

STYLE = """
.rendered_html pre, .input_area pre, .output pre { font-size: .85rem; line-height: 1.45; }
.output pre { background: none; border-left: .2rem solid var(--line); border-radius: 0; }
.output_error pre, .output_stderr pre { border-color: var(--red); }
.rendered_html ul, .rendered_html ol { max-width: 46rem; padding-left: 1.4rem; }
.rendered_html table { display: block; overflow-x: auto; }
.rendered_html img { max-width: 100%; }
:not(pre) > code, blockquote { background: var(--panel); }
blockquote { margin: 1rem 0; padding: .1rem 1rem; }
nav ol { columns: 16rem; max-width: 46rem; padding-left: 0; list-style: none; }
a { color: var(--blue); }
"""


@dataclass(frozen=True)
class Config(runs.Config):
    """Which notebook."""

    notebook: tyro.conf.Positional[Path] = field(kw_only=True)
    """A program in jupytext's percent format, or an .ipynb file."""
    seed: tyro.conf.Suppress[int] = 0  # a notebook has its own

    def __post_init__(self) -> None:
        if not self.notebook.is_file():
            raise ValueError(f"config: notebook should be a file, got {self.notebook}")
        object.__setattr__(self, "notebook", self.notebook.absolute())  # its name is what is kept

    def command(self, _: str) -> str:
        """The command that executes the notebook again."""
        return f"python -m backhand.runs.notebook {shlex.quote(self.notebook.name)}"


def train(config: Config, run: runs.Run) -> None:
    """Execute the notebook and keep it, as far as it came; exit with status 1 if a cell fails."""
    try:
        notebook = jupytext.read(config.notebook)
    except Exception as error:  # whatever a parser may raise
        raise runs.RefusedError(
            f"{config.notebook} can't be read as a notebook: {error}"
        ) from error
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"  # jupytext's are random
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    try:
        execute(notebook)
    except (CellExecutionError, DeadKernelError) as error:
        uncoloured = re.sub(r"\x1b\[[\d;]*m", "", str(error).rstrip())
        sys.exit(f"{config.notebook}: {uncoloured}")
    finally:
        run.write("notebook.ipynb", nbformat.writes(notebook))
        executed = sum(cell.execution_count is not None for cell in cells)
        run.keep(config.notebook.name, cells=len(cells), run=executed)


def execute(notebook: NotebookNode) -> None:
    """Run the code cells in order, in a fresh kernel of this Python, with a home of its own.

    Raises CellExecutionError at the first cell that fails, DeadKernelError if the kernel dies.
    """
    terminal = Console(stderr=True)
    cells = track(
        notebook.cells, "cells", console=terminal, transient=True, disable=not terminal.is_terminal
    )
    settings = {name: jax.config.values[name] for name in CACHE}
    cache = {name.upper(): "" if v is None else str(v) for name, v in settings.items()}
    with tempfile.TemporaryDirectory(prefix="backhand-") as home:
        manager = AsyncKernelManager(
            connection_file=f"{home}/kernel.json",
            transport="ipc" if os.name == "posix" else "tcp",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # whatever others are registered
        )
        client = NotebookClient(notebook, manager, startup_timeout=120, timeout=None)
        client.record_timing, client.coalesce_streams = False, True  # the same in every run
        environment = os.environ | {"IPYTHONDIR": home} | cache
        # A kernel's own output, such as debuggers' warnings, is not for the reader.
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with client.setup_kernel(cleanup_kc=True, env=environment, **silent):
            for index, cell in enumerate(cells):
                client.execute_cell(cell, index)


def report(_: Config, run: runs.Run) -> Report:
    """The notebook as a page: prose, programs, outputs, and a table of contents."""
    notebook = nbformat.read(run.path("notebook.ipynb"), as_version=4)
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "python"}
    exporter = HTMLExporter(template_name="basic", anchor_link_text="")
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body = exporter.from_notebook_node(notebook)[0]
    body = re.sub('<a class="anchor-link"[^>]*></a>', "", body)
    ((name, kept),) = run.kept.items()
    title = name
    if heading := re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL):
        title = unescape(re.sub("<[^>]+>", "", heading[1]))
        body = body.replace(heading[0], "", 1)
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    items = [f'<li><a href="#{anchor}">{section}</a></li>' for anchor, section in sections]
    contents = [f"<nav><ol>{''.join(items)}</ol></nav>"] if items else []
    cells, executed = kept.facts["cells"], kept.facts["run"]
    light, dark = (
        HtmlFormatter(style=style).get_token_style_defs(".highlight")
        for style in ("default", "github-dark")
    )
    return Report(
        title=title,
        finding="All cells were run." if executed == cells else "Stopped: not all cells were run.",
        picture="",
        pieces=[*contents, body],
        table=Table(("notebook", "cells", "run"), [(name, cells, executed)]),
        style="\n".join([STYLE, *light, "@media (prefers-color-scheme: dark) {", *dark, "}\n"]),
    )


if __name__ == "__main__":
    runs.main(Config, train, report, description="Execute a notebook, and leave a page of it.")
