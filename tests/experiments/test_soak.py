import json

import pytest

from backhand import runs
from experiments import soak

FLAGS = ("--hidden", "--gradient", "manual", "--epochs", "60")  # one layer


def carried_out(folder, **settings):
    config = soak.Config(out=folder, **settings)
    run = runs.Run.start("soak", config)
    soak.soak(config, run)
    return run


@pytest.mark.slow
def test_fresh_processes_and_kills_have_the_same_results(tmp_path, capsys):
    kept = carried_out(tmp_path, processes=2, kills=1, flags=FLAGS).kept
    assert {name: net.facts["differs"] for name, net in kept.items()} == dict.fromkeys(
        ["process 1", "process 2", "kill 1"], ""
    )
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fresh", "processes", "2", "2"] in words
    assert ["killed", "and", "resumed", "1", "1"] in words


def test_a_result_that_differs_is_told_and_fails(tmp_path, monkeypatch, capsys):
    answers = ["a", "b", "a"]

    def started(config, folder):
        run = runs.Run.start("lab", runs.TrainingConfig(out=folder))
        run.keep("net", answer=answers.pop(0))
        run.save_kept()
        run.finish("finished", 1.0)
        return None, run.folder

    monkeypatch.setattr(soak, "started", started)
    monkeypatch.setattr(soak, "finish", lambda process: None)
    with pytest.raises(SystemExit, match=r"process 2:\n.*results.net.answer: not measurable"):
        carried_out(tmp_path, processes=3, kills=0)
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fresh", "processes", "3", "2"] in words


def test_killed_while_it_wrote(tmp_path):
    folder = tmp_path / "checkpoints" / "net"
    folder.mkdir(parents=True)
    assert not soak.half_written(tmp_path)
    assert soak.position(tmp_path) == {"step": 0, "within": False}
    for step, score in ((12, 0.5), (20, None)):
        content = soak.parameters.encode({}, json.dumps({"score": score}))
        (folder / f"{step}.safetensors").write_bytes(content)
        assert soak.position(tmp_path) == {"step": step, "within": score is None}
    (folder / ".backhand-0123456789abcdef.partial").touch()
    assert soak.half_written(tmp_path)
    assert soak.position(tmp_path)["step"] == 20


@pytest.mark.slow
def test_flags_that_the_lab_does_not_have(tmp_path):
    with pytest.raises(runs.RefusedError, match="wrong"):
        carried_out(tmp_path, flags=("--wrong",))


@pytest.mark.parametrize(("field", "value"), [("processes", 0), ("kills", -1), ("seed", -1)])
def test_a_config_that_makes_no_sense(field, value):
    with pytest.raises(ValueError, match=f"config: {field} should be"):
        soak.Config(**{field: value})
