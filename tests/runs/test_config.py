from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from backhand import runs
from backhand.runs.config import check_choices, flags, resume_command, settings, unread, words
from tests.runs.toys import Config


def test_settings_are_the_fields_without_the_places(tmp_path):
    config = Config(3, tmp_path, tmp_path, csv=tmp_path / "points.csv")
    assert settings(config) == {
        "seed": 3, "hidden": (4, 2), "compare": False, "csv": "points.csv"
    } | {"hidden": [4, 2]}  # fmt: skip


def test_the_seed_is_checked():
    with pytest.raises(ValueError, match="seed should be at least 0, got -1"):
        runs.Config(seed=-1)


def test_the_command_that_repeats_a_run(tmp_path):
    assert Config().command("toy") == Config(out=tmp_path).command("toy") == "make toy"
    asked = Config(4, tmp_path, None, (16, 8), True, Path("my data.csv"))
    assert asked.command("toy") == "make toy SEED=4 'HIDDEN=16 8' COMPARE=true 'CSV=my data.csv'"
    assert Config(csv=tmp_path / "a.csv").command("toy") == "make toy CSV=/path/to/a.csv"


def test_the_command_that_resumes_a_run_says_where_the_data_are():
    """Of a file outside the working folder the run knows only the name."""

    @dataclass(frozen=True)
    class WithData(runs.PictureConfig):
        csv: Path | None = Path("/elsewhere/my points.csv")

    command = resume_command("toy", WithData(data_dir=Path("data")), Path("runs/toy/1"))
    assert command == "make toy RESUME=runs/toy/1 DATA_DIR=data 'CSV=/elsewhere/my points.csv'"


@pytest.mark.parametrize("name", ["two\nlines.csv", "esc\x1b[2J.csv", "not utf-8 \udcff.csv"])
def test_a_name_that_could_steer_a_terminal_is_refused(name):
    with pytest.raises(ValueError, match="config: csv should be printable, got '"):
        Config(csv=Path(name))


def test_lists_are_taken_apart_and_nothing_else_is():
    line = ["--hidden=64, 32", "--csv=/a b/x,y.csv", "--hidden", "8 4", "2", "--seed", "3"]
    wanted = "--hidden 64 32 --csv=/a·b/x,y.csv --hidden 8 4 2 --seed 3"
    assert words(Config, line) == [word.replace("·", " ") for word in wanted.split()]


@dataclass(frozen=True)
class Choosy(Config):
    kind: Literal["spiral", "moons"] | None = None
    kinds: tuple[Literal["spiral", "moons"], ...] = ("moons",)


@pytest.mark.parametrize(
    "line", [["--kind=spirl"], ["--kind", "spirl"], ["--kinds", "moons", "spirl"]]
)
def test_the_nearest_choice_is_named(line):
    words = r"kinds? should be one of spiral, moons, got 'spirl'; did you mean spiral\?"
    with pytest.raises(ValueError, match=words):
        check_choices(Choosy, line)
    check_choices(Choosy, ["--kind", "spiral", "--kinds", "moons", "--csv=spirl", "--seed", "x"])


def test_settings_in_the_environment_are_said_to_be_ignored(monkeypatch):
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setenv("SEED", "3")
    monkeypatch.setenv("HIDDEN", "9")
    assert unread(Config, ["--hidden=8"]) == []  # make has no part in it
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("COMPARE", "false")  # as make hands on what it was told
    assert unread(Config, ["--hidden=8", "--no-compare"]) == ["SEED=3"]


def test_settings_are_flags():
    config = Config(4, hidden=(8, 9), csv=Path("my data.csv"))
    words = ["--seed=4", "--hidden", "8", "9", "--no-compare", "--csv=my data.csv"]
    assert flags(settings(config)) == words
    assert flags({"batch_size": 1e-7, "compare": True}) == ["--batch-size=1e-07", "--compare"]


@pytest.mark.parametrize(
    "setting",
    [
        *({"out": "elsewhere"}, {"data_dir": "elsewhere"}, {"resume": "elsewhere"}),
        *({"hidden": ["--out", "/elsewhere"]}, {"hidden": "--out"}, {"hidden": [[8]]}),
        *({"hidden": {"a": 8}}, {"a b": 1}, {"": 1}, {"x=1 --out": 1}),
    ],
)
def test_what_is_not_a_setting_is_not_a_flag(setting):
    with pytest.raises(ValueError, match=r"config\.json should hold settings, got"):
        flags(setting)
