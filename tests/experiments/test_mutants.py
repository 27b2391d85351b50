import pytest

from backhand import runs
from backhand.verify.catalogue import catalogue
from experiments import mutants as experiment


@pytest.fixture
def small(monkeypatch):
    def two(batch, width, seed):
        entries = catalogue(batch, width, seed)
        return {name: entry for name, entry in entries.items() if entry.name == "squared_error"}

    monkeypatch.setattr(experiment, "catalogue", two)
    monkeypatch.setattr(experiment, "SHAPES", ((6, 5), (4, 4)))


@pytest.mark.usefixtures("small")
def test_the_kill_table(tmp_path, capsys):
    config = experiment.Config(every=4, out=tmp_path)
    run = runs.Run.start("mutants", config)
    experiment.run(config, run)
    results = run.read_json("results.json")
    assert results["mutants"] > 3
    assert results["killed"]["check_backward"] == results["mutants"]
    assert results["survivors"] == []
    assert results["false_alarms"]["check_backward"] == 0
    assert results["rules"] == 2 * 2
    assert sum(row["mutants"] for row in results["table"]) == results["mutants"]
    assert "let 0 pass" in capsys.readouterr().out
    assert f"Of {results['mutants']} wrong backward passes" in (run.folder / "report.html").read_text()


@pytest.mark.usefixtures("small")
def test_a_survivor_is_said_and_ends_it_with_1(tmp_path, monkeypatch, capsys):
    class Blind:
        ok, diagnoses = True, ()

    monkeypatch.setattr(experiment, "check_backward", lambda *args, **settings: Blind())
    config = experiment.Config(every=8, out=tmp_path)
    run = runs.Run.start("mutants", config)
    with pytest.raises(SystemExit) as stop:
        experiment.run(config, run)
    assert stop.value.code == 1
    results = run.read_json("results.json")
    assert len(results["survivors"]) == results["mutants"] > 0
    assert results["survivors"][0] in (run.folder / "report.html").read_text()
