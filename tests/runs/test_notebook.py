import json
import subprocess
import sys

import jupytext
import nbformat
import pytest

from backhand import plots, runs
from backhand.runs import notebook

PROGRAM = """\
# %% [markdown]
# # Numbers & *letters*
#
# ## The first
# It is `1 < 2`.

# %%
import sys
print(sys.executable)

# %%
print("on stderr", file=sys.stderr)
from backhand import plots
plots.curves({"train": [2.0, 1.0]}, "loss", "nats")

# %% [markdown]
# ## The second

# %%
def inverse(x):
    return 1 / x

inverse(0)
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A notebook with a failing cell, as make runs one: the process, and the run's folder."""
    folder = tmp_path_factory.mktemp("notebook")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "backhand.runs.notebook", str(program), "--out", "runs/{notebook}"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return process, next((folder / "runs" / "program").iterdir())


def test_a_failing_cell_is_named_and_the_page_so_far_kept(failed):
    process, folder = failed
    assert process.returncode == 1
    assert "program.py:23: cell 3 of 3 failed: ZeroDivisionError: division by zero" in process.stderr
    assert process.stdout.splitlines()[-1].startswith("report  ")
    assert json.loads((folder / "receipt.json").read_text())["outcome"] == "failed"
    html = (folder / "report.html").read_text()
    assert "ZeroDivisionError" in html
    assert "Stopped" not in html  # the last cell is there, with its error
    assert html.index("The first") < html.index("The second") < html.index("ZeroDivisionError")


def test_the_page_does_not_say_where_the_program_lay(failed):
    assert str(failed[1].parents[2]) not in (failed[1] / "report.html").read_text()


def test_the_kernel_is_this_python(failed):
    executed = nbformat.read(failed[1] / "program.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].text == f"{sys.executable}\n"
    assert [cell.get("execution_count") for cell in executed.cells if cell.cell_type == "code"] == [1, 2, 3]


def test_a_drawing_shows_itself_with_its_words(failed):
    html = (failed[1] / "report.html").read_text()
    assert html.count("<img") == 1
    assert 'alt="Curves. loss by epoch' in html
    assert "prefers-color-scheme: dark" in html


def test_the_page_needs_no_network_and_has_contents():
    book = jupytext.reads(PROGRAM, fmt="py:percent")
    html = notebook.page(book, "<p>the end</p>")
    assert "<title>Numbers &amp; letters</title>" in html
    assert html.count("Numbers &amp; ") == 2  # title and heading; the notebook's own is taken out
    assert '<a href="#The-first">The first</a>' in html
    assert '<h2 id="The-second">' in html
    assert '<span class="k">def</span>' in html
    assert html.index("inverse") < html.index("the end")
    assert "http" not in html
    assert "<script" not in html
    assert "In [" not in html


def test_a_kernel_that_dies_is_noticed():
    book = jupytext.reads("# %%\nprint('a', flush=True)\nimport os\nos._exit(3)\n", fmt="py:percent")
    with pytest.raises(notebook.CellError, match="the kernel died"):
        notebook.execute(book)


def test_interrupted_it_keeps_the_page_so_far(tmp_path, monkeypatch, capsys):
    def interrupted(book):
        raise KeyboardInterrupt

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    config = notebook.Config(program, out=tmp_path / "runs")
    run = runs.Run.start("notebook", config)
    monkeypatch.setattr(notebook, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        notebook.run(config, run)
    html = (run.folder / "report.html").read_text()
    assert "The first" in html
    assert "Stopped: 0 of 3 cells were run." in html
    assert capsys.readouterr().out.startswith("report  ")


def test_what_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(ValueError, match="notebook should be a file, got"):
        notebook.Config(tmp_path / "none.py")
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{")
    config = notebook.Config(broken, out=tmp_path / "runs")
    with pytest.raises(runs.RefusedError, match=r"broken.ipynb can't be read as a notebook"):
        notebook.run(config, runs.Run.start("notebook", config))


def test_a_drawing_says_what_it_shows():
    drawing = plots.curves({"train": [2.0, 1.0]}, "loss", "nats")
    assert repr(drawing) == drawing.alt
