"""Standard streams that are missing, deaf or poor: they change nothing of a run."""

import json
import os
import subprocess
import sys

import pytest

TOY = """
import sys
from backhand import runs
from backhand.reporting import Report, Table

def train(config, run):
    run.keep("net", answer=1)
    print("to stderr", file=sys.stderr)

def report(config, run):
    table = Table(("net",), [("0.5 ± 0.1",)])
    return Report("A toy", "It went well.", "", [table.html()], table)

runs.main(runs.TrainingConfig, train, report, description="A toy.")
"""


def carried_out(folder, redirected="", **environment):
    """The toy's exit status and what it printed, with its streams redirected by a shell."""
    (folder / "toy.py").write_text(TOY)
    ended = subprocess.run(
        f"{sys.executable} toy.py --out runs {redirected}", shell=True, cwd=folder, text=True,
        capture_output=True, env=os.environ | environment, timeout=100,
    )  # fmt: skip
    (run,) = (folder / "runs" / "toy").iterdir()
    assert json.loads((run / "config.json").read_text()) == {"seed": 0}
    assert json.loads((run / "receipt.json").read_text())["outcome"] == "finished"
    assert "0.5 ± 0.1" in (run / "report.html").read_text(encoding="utf-8")
    return ended.returncode, ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["2>&-", "<&- >&- 2>&-", ">/dev/full", "| true"])
def test_streams_that_are_closed_or_full(tmp_path, redirected):
    assert carried_out(tmp_path, redirected)[0] == 0


@pytest.mark.slow
def test_a_terminal_of_few_characters(tmp_path):
    status, printed = carried_out(tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert status == 0
    assert "0.5 ? 0.1" in printed
