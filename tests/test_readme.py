"""The README's programs run, and what it quotes is what the source says."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROGRAMS = [block for block in BLOCKS if block.startswith("import")]


def test_what_is_there():
    assert (len(BLOCKS), len(PROGRAMS)) == (4, 3)
    lines = [line for line in PROGRAMS[0].splitlines() if line.strip()]
    assert len(lines) <= 15


@pytest.mark.parametrize("program", PROGRAMS, ids=["training", "a layer", "a check"])
def test_its_programs_run(program, tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if "evaluate" in program:
        assert float(re.findall(r"'accuracy': ([\d.]+)", result.stdout)[0]) > 0.95
    elif "print" in program:
        assert max(map(float, re.findall(r"\d\.\d+e-\d+|\d\.\d+", result.stdout))) < 1e-6


def test_the_message_it_shows_is_the_message(tmp_path):
    program = PROGRAMS[2].replace("(dy * x * r).sum()", "(dy * x * r).sum() / len(x)")
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert result.returncode == 1
    (shown,) = re.findall(r"```\n(backward of .*?)```", README, re.DOTALL)
    printed = re.sub(r"got \S+ expected \S+", "", result.stderr)  # the last digits are the machine's
    for line in shown.splitlines():
        assert re.sub(r"got \S+ expected \S+", "", line) in printed


def test_the_layer_it_shows_is_the_layer():
    (shown,) = (block for block in BLOCKS if block.startswith("def linear"))
    source = ast.parse((ROOT / "src/backhand/layers/linear.py").read_text(encoding="utf-8"))
    (function,) = (
        node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == "linear"
    )
    del function.body[0]  # the docstring
    assert ast.unparse(ast.parse(shown)) == ast.unparse(function)


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link
