"""What make would do, without doing it."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runs.toys import Config

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


def make(*args: str) -> str:
    # What a make above this one sets would be taken for settings.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *args], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def listed() -> dict[str, list[str]]:
    lines = [line.split() for line in make().splitlines()]
    return {words[1]: words[2:] for words in lines if words[:1] == ["make"]}


def test_bare_make_lists_each_target_and_what_it_is_for():
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert list(listed()) == targets.split()
    assert all(listed().values())


def test_each_experiment_has_a_target():
    programs = [p for p in (ROOT / "experiments").glob("*.py") if "__main__" in p.read_text()]
    # bench starts raw, which it times in a process without the library.
    assert {path.stem for path in programs} - {"raw"} <= set(listed())


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ([], ""),
        (["SEED=3", "RATE=0.1", "HIDDEN=8 4"], "--hidden='8 4' --rate='0.1' --seed='3'"),
        (["SEED=3", "COMPARE=true", "ALL_OF_IT=false"], "--no-all-of-it --compare --seed='3'"),
    ],
)  # fmt: skip
def test_what_the_command_line_sets_becomes_flags(settings, flags, monkeypatch):
    monkeypatch.setenv("SEED", "4")  # the environment sets nothing
    *_, recipe = make("--dry-run", "lab", *settings).splitlines()
    assert recipe.endswith(f"experiments/lab.py {flags}")


@pytest.mark.parametrize(
    "name",
    [
        "it's.csv", "$(touch pwned).csv", "$HOME.csv", '"a" `b`.csv', "a;b|c&.csv", "# a.csv",
        "back\\slash.csv", "100%.csv", "$$(shell touch pwned).csv", "a b/ü.csv",
        "a true b.csv",
    ],
)  # fmt: skip
def test_a_command_that_is_printed_says_what_was_said_when_it_is_pasted(name):
    command = Config(csv=Path(name)).command("lab")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    ended = subprocess.run(
        f"{command} --dry-run", shell=True, cwd=ROOT, env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert shlex.split(ended.stdout.splitlines()[-1])[-1] == f"--csv={name}"
    assert not (ROOT / "pwned").exists()


def test_an_accelerator_has_its_own_stamp():
    recipe = make("--dry-run", "install", "ACCELERATOR=cuda13")
    assert "-e '.[cuda13]'" in recipe
    assert "touch .venv/installed-cuda13" in recipe


def test_an_unknown_accelerator():
    with pytest.raises(subprocess.CalledProcessError) as error:
        make("--dry-run", "install", "ACCELERATOR=cuda")
    assert "ACCELERATOR should be cpu, cuda13 or tpu, got cuda" in error.value.stderr


def test_requirements_pin_every_package_by_hash():
    text = (ROOT / "requirements.txt").read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(packages) > 30
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert "://" not in text
