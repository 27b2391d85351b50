import pytest

from backhand import runs
from experiments import soak

FLAGS = ("--hidden", "--gradient", "manual", "--epochs", "60")  # one layer


def test_fresh_processes_and_kills_come_to_the_same_end(tmp_path, capsys):
    config = soak.Config(processes=2, kills=1, flags=FLAGS, out=tmp_path)
    run = runs.Run.start("soak", config)
    soak.run(config, run)
    results = run.read_json("results.json")
    assert [r["same"] for r in results["processes"] + results["kills"]] == [True] * 2
    table = {line.split("  ")[0].strip(): line.split()[-2:] for line in capsys.readouterr().out.splitlines()}
    assert table["other processes"] == ["1", "1"]
    assert table["killed, gone on with"] == ["1", "1"]


def test_another_end_is_told_and_fails(tmp_path, monkeypatch, capsys):
    ends = iter([{"parameters": "a", "metrics": "m"}, {"parameters": "b", "metrics": "m"}])
    monkeypatch.setattr(soak, "lab", lambda config, folder: tmp_path)
    monkeypatch.setattr(soak, "end_of", lambda folder: next(ends))
    (tmp_path / "receipt.json").write_text('{"seconds": 1.0}')
    config = soak.Config(processes=2, kills=0, out=tmp_path)
    with pytest.raises(SystemExit) as stop:
        soak.run(config, runs.Run.start("soak", config))
    assert stop.value.code == 1
    assert "another end: {'same': False, 'differs': ['parameters']}" in capsys.readouterr().out


def test_flags_that_the_lab_has_not(tmp_path):
    config = soak.Config(flags=("--wrong",), out=tmp_path)
    with pytest.raises(runs.RefusedError, match="wrong"):
        soak.run(config, runs.Run.start("soak", config))


@pytest.mark.parametrize(("field", "value"), [("processes", 0), ("kills", -1), ("seed", -1)])
def test_a_config_that_makes_no_sense(field, value):
    with pytest.raises(ValueError, match=f"config: {field} should be"):
        soak.Config(**{field: value})
