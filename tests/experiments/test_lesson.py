"""The lesson is a notebook that runs from start to end, in the lesson's order, and reads well on a page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
LESSON = ROOT / "experiments" / "lesson.py"
SECTIONS = [
    "learning problem",
    "losses",
    "linear layer",
    "softmax",
    "cross-entropy",
    "computational graph",
    "gradient descent",
    "back-propagation",
    "training loop",
    "composing layers",
    "several layers",
    "overfitting",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run's folder, after what make lesson does."""
    out = tmp_path_factory.mktemp("lesson")
    command = [sys.executable, "-m", "backhand.runs.notebook", "experiments/lesson.py", "--out", str(out)]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    process = subprocess.run(command, cwd=ROOT, env=os.environ | cache, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    (folder,) = out.iterdir()
    return folder


def test_it_opens_as_a_notebook_without_outputs():
    book = jupytext.read(LESSON)
    assert book.metadata["jupytext"]["text_representation"]["format_name"] == "percent"
    kinds = [cell.cell_type for cell in book.cells]
    assert min(kinds.count("markdown"), kinds.count("code")) >= 2 * len(SECTIONS)
    assert not any(cell.get("outputs") for cell in book.cells)


def test_the_lessons_order_and_a_question_in_each_section(folder):
    html = (folder / "report.html").read_text(encoding="utf-8")
    pieces = re.split(r'<h2 id="[^"]+">', html)[1:]
    for number, (section, piece) in enumerate(zip(SECTIONS, pieces, strict=False), start=1):
        title = piece.partition("</h2>")[0]
        assert title.startswith(f"{number}. ")
        assert section in title.lower()
        assert "<blockquote>" in piece, title
        assert "<strong>Try.</strong>" in piece, title


def test_every_cell_ran_without_a_word_on_stderr(folder):
    book = nbformat.read(folder / "lesson.ipynb", as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"stream", "execute_result"}
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}
    assert all(cell.execution_count for cell in book.cells if cell.cell_type == "code")


def test_what_the_prose_says_of_the_numbers_is_so(folder):
    book = nbformat.read(folder / "lesson.ipynb", as_version=4)
    said = "".join(
        o.text for cell in book.cells for o in cell.get("outputs", []) if o.output_type == "stream"
    )
    numbers = {name: float(value) for name, value in re.findall(r"(.*?): (\d+\.\d)% right\n", said)}
    assert numbers["two hidden layers of 16"] > 95 > numbers["a line"]  # no line can part the moons
    assert re.search(
        r"-1000 +87\.\d+ +\+0\.000 +1000\.000 +-1\.000\n", said
    )  # the worst mistakes teach nothing
    assert "a mean where the forward sums" in said
    assert "gradients are autodiff's" in said
    rows = {line[:20].strip(): line[20:].split() for line in said.splitlines() if line.startswith("big, ")}
    assert rows["big, to the end"][1] == "0.0%"  # learned by heart
    assert float(rows["big, to the end"][4]) > 2 * float(rows["big, stopped early"][4])


def test_the_page_looks_right(folder, faults):
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("<img") >= 10
    assert "Traceback (most recent" not in html
    assert "http" not in re.sub("http://www.w3.org", "", html)
    assert faults(folder / "report.html") == []
