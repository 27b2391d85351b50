import json
import re
import sys

import jupytext
import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from backhand import runs
from backhand.runs import notebook
from tests.runs.toys import files

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
print("on", file=sys.stderr)
print("stderr", file=sys.stderr)

# %% [markdown]
# ## The second

# %%
def inverse(x):
    return 1 / x

inverse(0)
"""


def carried_out(program, folder):
    """Run the notebook by `main`, in this process: what it exits with, and its run's folder."""
    with pytest.MonkeyPatch.context() as patch:
        words = [str(program), "--out", str(folder / "runs")]
        patch.setattr(sys, "argv", ["notebook.py", *words])
        with pytest.raises(SystemExit) as stop:
            runs.main(notebook.Config, notebook.train, notebook.report, description="a notebook")
    return stop.value.code, next((folder / "runs" / "notebook").iterdir(), None)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The folder of a run of a notebook whose last cell fails."""
    folder = tmp_path_factory.mktemp("a place")
    (folder / "program.py").write_text(PROGRAM)
    status, made = carried_out(folder / "program.py", folder)
    first, *traceback = status.splitlines()
    assert first.startswith(f"{folder}/program.py: An error occurred while executing")
    assert any(re.search("Cell In.*line 4", line) for line in traceback)
    assert "\x1b" not in status
    assert traceback[-1] == "ZeroDivisionError: division by zero"
    return made


def test_a_failing_cell_and_all_before_it_are_on_the_page(failed):
    assert json.loads(files(failed)["receipt.json"])["outcome"] == "failed"
    html = files(failed)["report.html"].decode()
    assert "Stopped" not in html  # the last cell is there, with its error
    places = [html.index(words) for words in ("The first", "The second", "ZeroDivisionError")]
    assert places == sorted(places)
    assert html.index("inverse") < html.index("python -m backhand.runs.notebook program.py")


def test_the_page_needs_no_network_and_has_contents(failed):
    html = files(failed)["report.html"].decode()
    assert "<title>Numbers &amp; letters</title>" in html
    assert html.count("Numbers &amp; ") == 2  # the title and the heading, which stands once
    assert '<a href="#The-first">The first</a>' in html
    assert '<h2 id="The-second">' in html
    assert '<span class="k">def</span>' in html
    for words in ("http", "<script", "In [", str(failed.parents[2])):
        assert words not in html


def test_the_kernel_is_this_python(failed):
    executed = nbformat.reads(files(failed)["notebook.ipynb"].decode(), as_version=4)
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    assert cells[0].outputs[0].text == f"{sys.executable}\n"
    assert [output.text for output in cells[1].outputs] == ["on\nstderr\n"]


@pytest.mark.slow
def test_a_kernel_that_dies_is_noticed():
    book = jupytext.reads("# %%\nprint(1, flush=True)\nimport os; os._exit(3)\n", fmt="py:percent")
    with pytest.raises(DeadKernelError, match="Kernel died"):
        notebook.execute(book)


def test_interrupted_it_keeps_the_page_so_far(tmp_path, monkeypatch, capsys):
    def interrupted(book):
        raise KeyboardInterrupt

    monkeypatch.setattr(notebook, "execute", interrupted)
    (tmp_path / "program.py").write_text(PROGRAM)
    status, folder = carried_out(tmp_path / "program.py", tmp_path)
    html = files(folder)["report.html"].decode()
    assert status == 130
    assert "Stopped: not all cells were run." in html
    assert "The first" in html
    assert "report      " in capsys.readouterr().out


def test_what_is_not_a_notebook_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="notebook should be a file, got"):
        notebook.Config(notebook=tmp_path / "none.py")
    (tmp_path / "broken.ipynb").write_text("{")
    assert carried_out(tmp_path / "broken.ipynb", tmp_path) == (2, None)
    assert "broken.ipynb can't be read as a notebook" in capsys.readouterr().err
