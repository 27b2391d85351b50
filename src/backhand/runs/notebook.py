"""Execute a notebook written as a program, and leave a page of it: python -m backhand.runs.notebook LESSON.py.

The program is in jupytext's percent format, where `# %%` starts a cell and `# %% [markdown]` one of prose, so
that Jupyter and VS Code open it as the notebook it is. Cells run in a kernel of this Python, whichever others
are registered, with a home of its own, so that nobody's settings change what comes out; it is spoken to
through files, not ports. The run's folder keeps the executed notebook, and report.html, which needs no network.
"""

import os
import queue
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

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
from backhand.reporting import page as report

OUTPUTS = ("stream", "display_data", "execute_result", "error")
COMMAND = "python -m backhand.runs.notebook"
STYLE = """
.rendered_html pre, .input_area pre { font-size: .85rem; line-height: 1.45; margin: 1rem 0 .25rem; }
.output pre { font-size: .85rem; line-height: 1.45; margin: .25rem 0 1rem; background: none; padding: .25rem 1rem;
  border-left: .2rem solid var(--line); border-radius: 0; }
.output_error pre, .output_stderr pre { border-color: #D55E00; }
.output figure { max-width: 34rem; }
.rendered_html ul, .rendered_html ol { max-width: 46rem; padding-left: 1.4rem; }
.rendered_html table { display: block; overflow-x: auto; }
.rendered_html :not(pre) > code { background: var(--panel); padding: .05rem .25rem; border-radius: .2rem; }
.rendered_html img { max-width: 100%; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: .2rem solid #0072B2; background: var(--panel); }
nav ol { columns: 16rem; max-width: 46rem; padding-left: 0; list-style: none; }
a { color: #0064a0; }
@media (prefers-color-scheme: dark) { a { color: #6cbdf0; } }
"""


@dataclass(frozen=True)
class Config:
    """Which notebook, and where its run is kept."""

    notebook: tyro.conf.Positional[Path]
    """A program in jupytext's percent format, or an .ipynb file."""
    out: Path = Path("runs/{notebook}")
    """Folder in which the run makes a folder of its own; {notebook} stands for the notebook's name."""

    def __post_init__(self) -> None:
        if not self.notebook.is_file():
            raise ValueError(f"config: notebook should be a file, got {self.notebook}")
        object.__setattr__(self, "out", Path(str(self.out).replace("{notebook}", self.notebook.stem)))


class CellError(Exception):
    """A cell failed; `line` says at which line of its source."""

    def __init__(self, message: str, cell: NotebookNode, line: int) -> None:
        super().__init__(message)
        self.cell = cell
        self.line = line


def run(config: Config, run: runs.Run) -> None:
    """Execute the notebook and keep its page; where a cell fails, that of the cells so far, leaving with status 1."""
    try:
        notebook = jupytext.read(config.notebook)
    except Exception as error:  # whatever a parser may raise
        raise runs.RefusedError(f"{config.notebook} can't be read as a notebook: {error}") from error
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"  # jupytext's are random
    try:
        execute(notebook)
    except CellError as error:
        print(f"{config.notebook}:{line_in_file(config.notebook, notebook, error)}: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    finally:
        run.write(f"{config.notebook.stem}.ipynb", nbformat.writes(notebook))
        again = run.again(
            f"{COMMAND} {shlex.quote(run.receipt['config']['notebook'])}"
        )  # without its folders
        print(f"report  {run.write('report.html', page(notebook, *again))}")


def execute(notebook: NotebookNode) -> None:
    """Run the code cells in order, in a fresh kernel, keeping their outputs; CellError at the first that fails."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    terminal = Console(stderr=True)
    with kernel() as (manager, client):
        for number, cell in enumerate(
            track(cells, "cells", console=terminal, transient=True, disable=not terminal.is_terminal), start=1
        ):
            for message in messages(manager, client, cell):
                content = message["content"]
                if message["msg_type"] == "execute_input":
                    cell.execution_count = content["execution_count"]
                    continue
                output = nbformat.v4.output_from_msg(message)
                last = cell.outputs[-1] if cell.outputs else {}
                if output.output_type == "stream" == last.get("output_type") and output.name == last["name"]:
                    last["text"] += output.text
                else:
                    cell.outputs.append(output)
                if output.output_type == "error":
                    said = f"cell {number} of {len(cells)} failed: {output.ename}: {output.evalue}"
                    raise CellError(said, cell, line_in_cell(output.traceback))


@contextmanager
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A running kernel, and how to talk to it."""
    with tempfile.TemporaryDirectory(prefix="backhand-") as home:
        transport = "ipc" if os.name == "posix" else "tcp"
        manager = ThisPython(connection_file=str(Path(home) / "kernel.json"), transport=transport)
        # What a kernel says outside its cells, such as debuggers' warnings, is not for the reader.
        manager.start_kernel(
            env=os.environ | {"IPYTHONDIR": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = manager.blocking_client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=120)
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


class ThisPython(KernelManager):
    """Starts kernels of the Python that runs this, whichever others are registered."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start one."""
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def messages(
    manager: KernelManager, client: BlockingKernelClient, cell: NotebookNode
) -> Iterator[dict[str, Any]]:
    """What the kernel has to say while it runs the cell; CellError where it dies."""
    request = client.execute(cell.source, allow_stdin=False)
    while True:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            if manager.is_alive():
                continue
            raise CellError("the kernel died", cell, 1) from None
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return
        if message["msg_type"] in ("execute_input", *OUTPUTS):
            yield message


def line_in_cell(traceback: list[str]) -> int:
    """The line of the cell that the outermost frame of IPython's traceback names; 1 where it names none."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(traceback))
    found = re.search(r"Cell In\[\d+\], line (\d+)", plain)
    return int(found[1]) if found else 1


def line_in_file(path: Path, notebook: NotebookNode, error: CellError) -> int:
    """The line of the program where a cell failed; in an .ipynb file, that in the cell."""
    text, start = path.read_text(encoding="utf-8"), 0
    for cell in notebook.cells:
        start = max(text.find(cell.source, start), start)
        if cell is error.cell:
            return text.count("\n", 0, start) + error.line if cell.source in text else error.line
    raise AssertionError("the cell is one of the notebook's")


def page(notebook: NotebookNode, *ending: str) -> str:
    """The notebook as a page: prose, programs, outputs, and a table of contents of its sections."""
    exporter = HTMLExporter(template_name="basic", anchor_link_text="")
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "python"}
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub('<a class="anchor-link"[^>]*></a>', "", body)
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    if title:
        body = body.replace(title[0], "", 1)
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    run = sum(cell.execution_count is not None for cell in cells)
    contents = "".join(f'<li><a href="#{anchor}">{section}</a></li>' for anchor, section in sections)
    return report.page(
        unescape(re.sub("<[^>]+>", "", title[1])) if title else "Notebook",
        report.paragraph(f"Stopped: {run} of {len(cells)} cells were run.") if run < len(cells) else "",
        f"<nav><ol>{contents}</ol></nav>" if contents else "",
        body,
        *ending,
        style=STYLE + highlighting(),
    )


def highlighting() -> str:
    """The colours of programs, by day and by night."""

    def colours(style: str) -> str:
        rules = HtmlFormatter(style=style).get_style_defs(".highlight").splitlines()
        return "\n".join(rule for rule in rules if rule.startswith(".highlight ."))  # less its background

    return f"{colours('default')}\n@media (prefers-color-scheme: dark) {{\n{colours('github-dark')}\n}}\n"


if __name__ == "__main__":
    runs.main(Config, run, "Execute a notebook, and leave a page of it.", prog=COMMAND)
