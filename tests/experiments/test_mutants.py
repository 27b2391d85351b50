import pytest

from backhand.verify.catalogue import catalogue
from experiments import mutants as experiment
from tests.experiments.frame import carry_out


@pytest.fixture
def one_loss(monkeypatch):
    """The catalogue has squared_error alone."""

    def one(batch, width, seed):
        entries = catalogue(batch, width, seed)
        return {name: entry for name, entry in entries.items() if entry.name == "squared_error"}

    monkeypatch.setattr(experiment, "catalogue", one)
    monkeypatch.setattr(experiment, "SHAPES", ((6, 5), (4, 4)))


@pytest.mark.slow
@pytest.mark.usefixtures("one_loss")
def test_the_kill_table(tmp_path, faults):
    done = carry_out(experiment, tmp_path, "--every", 4)
    assert done.status == 0
    wrong, right = done.results["wrong"]["mutants"], done.results["right"]["rules"]
    assert len(wrong) > 3
    assert all(record["check_backward"] for record in wrong)
    assert [record["check_backward"] for record in right] == [False, False]
    assert experiment.GOOD in done.html
    assert faults(done.folder / "report.html") == []


@pytest.mark.usefixtures("one_loss")
@pytest.mark.parametrize(("missed", "alarmed"), [(True, False), (False, True)])
def test_a_misjudged_rule_is_said_and_ends_it_with_1(tmp_path, monkeypatch, missed, alarmed):
    rules = {id(entry.subject) for entry in catalogue().values()}

    def judge(subject, *_):
        is_right = id(subject) in rules
        ours = alarmed if is_right else not missed
        return {"check_backward": ours, "check_grads": True, "chex": True, "diagnoses": []}

    monkeypatch.setattr(experiment, "judge", judge)
    monkeypatch.setattr(experiment, "equivalent", lambda *_: False)
    done = carry_out(experiment, tmp_path, "--every", 8)
    assert done.status == 1
    assert experiment.BAD in done.html
    assert ("squared_error 6×5: right" in done.html) == alarmed
    assert ("squared_error 6×5: wrong sign" in done.html) == missed


def test_counts():
    found = {"check_backward": True, "check_grads": False, "chex": True}
    records = [found | {"named": None}, found | {"named": True}, found | {"named": False}]
    assert experiment.counts(records) == ["3", "3", "0", "3", "1"]
    assert experiment.counts(records[:1]) == ["1", "1", "0", "1", ""]
