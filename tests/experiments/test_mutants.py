import contextlib
import io

import pytest

from backhand import runs
from backhand.verify.catalogue import catalogue
from experiments import mutants as experiment


@contextlib.contextmanager
def squared_error_alone():
    def one(batch, width, seed):
        entries = catalogue(batch, width, seed)
        return {name: entry for name, entry in entries.items() if entry.name == "squared_error"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "catalogue", one)
        patch.setattr(experiment, "SHAPES", ((6, 5), (4, 4)))
        yield patch


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run on one loss, and what it printed."""
    config = experiment.Config(every=4, out=tmp_path_factory.mktemp("mutants"))
    run = runs.Run.start("mutants", config)
    with squared_error_alone(), contextlib.redirect_stdout(io.StringIO()) as printed:
        experiment.run(config, run)
    return run, printed.getvalue()


def test_the_report_in_a_browser(killed, faults):
    assert faults(killed[0].folder / "report.html") == []


def test_the_kill_table(killed):
    run, printed = killed
    results = run.read_json("results.json")
    assert results["mutants"] > 3
    assert results["killed"]["check_backward"] == results["mutants"]
    assert results["survivors"] == []
    assert results["false_alarms"]["check_backward"] == 0
    assert results["rules"] == 2 * 2
    assert sum(row["mutants"] for row in results["table"]) == results["mutants"]
    assert "let 0 pass" in printed
    assert f"Of {results['mutants']} wrong backward passes" in (run.folder / "report.html").read_text()


def test_a_survivor_is_said_and_ends_it_with_1(tmp_path):
    class Blind:
        ok, diagnoses = True, ()

    config = experiment.Config(every=8, out=tmp_path)
    run = runs.Run.start("mutants", config)
    with squared_error_alone() as patch:
        patch.setattr(experiment, "check_backward", lambda *args, **settings: Blind())
        with pytest.raises(SystemExit) as stop:
            experiment.run(config, run)
    assert stop.value.code == 1
    results = run.read_json("results.json")
    assert len(results["survivors"]) == results["mutants"] > 0
    assert results["survivors"][0] in (run.folder / "report.html").read_text()
