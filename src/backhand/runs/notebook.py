"""Execute a notebook and leave a page of it: python -m backhand.runs.notebook LESSON.py.

It is a program in jupytext's percent format (`# %%` starts a cell, `# %% [markdown]` one of prose),
which Jupyter and VS Code open as a notebook. Cells run in a kernel of this Python, with a home of
its own, so that no user's settings change the results; it is spoken to through files, not ports.
"""

import os
import queue
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import jax
import jupytext
import nbformat
import tyro
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from rich.console import Console
from rich.progress import track

from backhand import runs
from backhand.reporting import Report, Table
from backhand.runs.command_line import CACHE
from backhand.storage.json_values import JSON

OUTPUTS = ("stream", "display_data", "execute_result", "error")
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


class CellError(Exception):
    """A cell failed; the message has its traceback."""


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
    try:
        execute(notebook)
    except CellError as error:
        sys.exit(f"{config.notebook}: {error}")
    finally:
        run.write("notebook.ipynb", nbformat.writes(notebook))
        cells = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        run.keep(config.notebook.name, cells=len(cells), run=sum(n is not None for n in cells))


def execute(notebook: NotebookNode) -> None:
    """Run the code cells in order, in a fresh kernel; CellError at the first that fails."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    terminal = Console(stderr=True)
    shown = track(
        cells, "cells", console=terminal, transient=True, disable=not terminal.is_terminal
    )
    with kernel() as (manager, client):
        for number, cell in enumerate(shown, start=1):
            for message in messages(manager, client, cell):
                if message["msg_type"] == "execute_input":
                    cell.execution_count = message["content"]["execution_count"]
                    continue
                output = nbformat.v4.output_from_msg(message)
                last = cell.outputs[-1] if cell.outputs else {}
                if output.get("name") and output.get("name") == last.get("name"):  # of a stream
                    last["text"] += output.text
                else:
                    cell.outputs.append(output)
                if output.output_type == "error":
                    lines = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                    raise CellError(f"cell {number} of {len(cells)} failed\n{lines}")


class ThisPython(KernelManager):
    """Starts kernels of the Python that runs this, whatever others are registered."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start one."""
        words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=words)


@contextmanager
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A running kernel, and a client of it."""
    with tempfile.TemporaryDirectory(prefix="backhand-") as home:
        transport = "ipc" if os.name == "posix" else "tcp"
        manager = ThisPython(connection_file=f"{home}/kernel.json", transport=transport)
        # A kernel's own output, such as debuggers' warnings, is not for the reader.
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        settings = {name: jax.config.values[name] for name in CACHE}
        cache = {k.upper(): "" if v is None else str(v) for k, v in settings.items()}
        manager.start_kernel(env=os.environ | {"IPYTHONDIR": home} | cache, **silent)
        client = manager.blocking_client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=120)
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def messages(
    manager: KernelManager, client: BlockingKernelClient, cell: NotebookNode
) -> Iterator[dict[str, JSON]]:
    """The kernel's messages while it runs the cell; CellError if it dies."""
    request = client.execute(cell.source, allow_stdin=False)
    while True:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            if manager.is_alive():
                continue
            raise CellError("the kernel died") from None
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["content"].get("execution_state") == "idle":
            return
        if message["msg_type"] in ("execute_input", *OUTPUTS):
            yield message


def report(_: Config, run: runs.Run) -> Report:
    """The notebook as a page: prose, programs, outputs, and a table of contents."""
    notebook = nbformat.read(run.path("notebook.ipynb"), as_version=4)
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "python"}
    exporter = HTMLExporter(template_name="basic", anchor_link_text="")
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body = exporter.from_notebook_node(notebook)[0]
    body = re.sub('<a class="anchor-link"[^>]*></a>', "", body)
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    if title:
        body = body.replace(title[0], "", 1)
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    items = [f'<li><a href="#{anchor}">{section}</a></li>' for anchor, section in sections]
    contents = [f"<nav><ol>{''.join(items)}</ol></nav>"] if items else []
    ((name, kept),) = run.kept.items()
    cells, executed = kept.facts["cells"], kept.facts["run"]
    styles = (HtmlFormatter(style=name) for name in ("default", "github-dark"))
    rules = (style.get_style_defs(".highlight").splitlines() for style in styles)
    light, dark = ("\n".join(r for r in each if r.startswith(".highlight .")) for each in rules)
    return Report(
        title=unescape(re.sub("<[^>]+>", "", title[1])) if title else name,
        finding="All cells were run." if executed == cells else "Stopped: not all cells were run.",
        picture="",
        pieces=[*contents, body],
        table=Table(("notebook", "cells", "run"), [(name, cells, executed)]),
        style=f"{STYLE}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n",
    )


if __name__ == "__main__":
    runs.main(
        Config, train, report, description="Execute a notebook, and leave a page of it.",
        prog="python -m backhand.runs.notebook",
    )  # fmt: skip
