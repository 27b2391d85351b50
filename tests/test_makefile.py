"""What make would do, without doing it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


def make(*args: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # of the make above
    return subprocess.run(
        ["make", *args], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_bare_make_lists_the_targets():
    lines = [line.split() for line in make().splitlines()]
    listed = [words[1] for words in lines if words[:1] == ["make"]]
    wanted = {
        "install",
        "lab",
        "planar",
        "regression",
        "losses",
        "explain",
        "overfitting",
        "lesson",
        "mnist",
        "lecun",
        "bench",
        "verify",
        "mutants",
        "costs",
        "reproduce",
        "reproduce-all",
        "soak",
        "test",
        "lint",
        "types",
        "check",
        "clean",
    }
    assert wanted <= set(listed)
    assert all(len(words) > 2 for words in lines if words[:1] == ["make"])


def test_settings_become_flags():
    recipe = make("--dry-run", "lab", "SEED=3", "LEARNING_RATE=0.1", "HIDDEN=64 32")
    assert "experiments/lab.py --hidden 64 32 --learning-rate 0.1 --seed 3" in recipe


def test_switches():
    recipe = make("--dry-run", "lab", "SEED=3", "COMPARE=true", "ALL_OF_IT=false")
    assert "experiments/lab.py --no-all-of-it --compare --seed 3" in recipe


def test_only_what_the_command_line_sets(monkeypatch):
    monkeypatch.setenv("SEED", "3")
    assert make("--dry-run", "lab").splitlines()[-1].endswith("experiments/lab.py ")


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
