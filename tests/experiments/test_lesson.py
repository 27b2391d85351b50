"""The lesson is a notebook that runs from start to end, in the lesson's order, and reads well."""

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
    "learning problem", "losses", "linear layer", "softmax", "cross-entropy", "computational graph",
    "gradient descent", "back-propagation", "training loop", "composing layers", "several layers",
    "overfitting",
]  # fmt: skip


def test_it_opens_as_a_notebook_without_outputs():
    book = jupytext.read(LESSON)
    assert book.metadata["jupytext"]["text_representation"]["format_name"] == "percent"
    kinds = [cell.cell_type for cell in book.cells]
    assert min(kinds.count("markdown"), kinds.count("code")) >= 2 * len(SECTIONS)
    assert not any(cell.get("outputs") for cell in book.cells)


def test_the_lessons_order_and_a_question_in_each_section():
    prose = "\n".join(c.source for c in jupytext.read(LESSON).cells if c.cell_type == "markdown")
    pieces = re.split(r"^## ", prose, flags=re.MULTILINE)[1:]
    for number, (section, piece) in enumerate(zip(SECTIONS, pieces, strict=False), start=1):
        title = piece.partition("\n")[0]
        assert title.startswith(f"{number}. ")
        assert section in title.lower()
        assert "> **Try.**" in piece, title


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run's folder, after what make lesson does."""
    out = tmp_path_factory.mktemp("lesson")
    words = ["-m", "backhand.runs.notebook", "experiments/lesson.py", "--out", str(out)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax")}
    process = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=os.environ | cache, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    (folder,) = out.glob("*/*")
    return folder


@pytest.mark.slow
def test_what_the_prose_says_of_the_numbers_is_so(folder):
    book = nbformat.read(folder / "notebook.ipynb", as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    streams = [output for output in outputs if output.output_type == "stream"]
    assert {output.name for output in streams} == {"stdout"}
    said = "".join(output.text for output in streams)
    numbers = {name: float(value) for name, value in re.findall(r"(.*?): (\d+\.\d)% right\n", said)}
    assert numbers["two hidden layers of 16"] > 95 > numbers["a line"]  # no line can part the moons
    # The worst mistakes teach nothing.
    assert re.search(r"-1000 +87\.\d+ +\+0\.000 +1000\.000 +-1\.000\n", said)
    assert "a mean where the forward sums" in said
    rows = {
        line[:20].strip(): line[20:].split() for line in said.splitlines() if line[:4] == "big,"
    }
    assert rows["big, to the end"][1] == "0.0%"  # learned by heart
    assert float(rows["big, to the end"][4]) > 2 * float(rows["big, stopped early"][4])


@pytest.mark.slow
def test_the_page_looks_right(folder, faults):
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("<img") >= 10
    assert "Traceback (most recent" not in html
    assert "http" not in re.sub("http://www.w3.org", "", html)
    assert faults(folder / "report.html") == []
