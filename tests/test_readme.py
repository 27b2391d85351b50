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
QUOTES = [block for block in BLOCKS if block.startswith("def ")]
PROGRAMS = [block for block in BLOCKS if block not in QUOTES]
RUN = """
import sys
from pathlib import Path
names = {}
for block in sys.argv[1:]:
    exec(compile(Path(block).read_text(encoding="utf-8"), block, "exec"), names)
"""


def run(folder: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """Run programs one after another in one namespace, each with few epochs."""
    files = []
    for number, program in enumerate(programs, start=1):
        files.append(folder / f"block_{number}.py")
        files[-1].write_text(re.sub(r"epochs=\d+", "epochs=2", program), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, *map(str, files)], cwd=folder,
        env=os.environ | {"PYTHONUTF8": "1"}, capture_output=True, encoding="utf-8",
    )  # fmt: skip


def test_what_is_there():
    assert QUOTES
    assert len([line for line in PROGRAMS[0].splitlines() if line.strip()]) <= 15


@pytest.mark.slow
def test_its_programs_run(tmp_path):
    result = run(tmp_path, *PROGRAMS)
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout


@pytest.mark.slow
def test_the_message_it_shows_is_the_message(tmp_path):
    (program,) = (block for block in PROGRAMS if "assert_backward" in block)
    wrong = program.replace("(dy * x * r).sum()", "(dy * x * r).sum() / len(x)")
    assert wrong != program
    result = run(tmp_path, wrong)
    assert result.returncode == 1
    (shown,) = re.findall(r"```\n(backward of .*?)```", README, re.DOTALL)
    figures = r"\S+ (?=>)|got \S+ expected \S+"  # which depend on what is drawn, and the machine
    printed = re.sub(figures, "", result.stderr)
    for line in shown.splitlines():
        assert re.sub(figures, "", line) in printed


@pytest.mark.parametrize("shown", QUOTES)
def test_the_source_it_quotes_is_the_source(shown):
    """Without its docstring."""
    (quoted,) = ast.parse(shown).body
    (source,) = [
        node
        for path in (ROOT / "src/backhand").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == quoted.name
    ]
    del source.body[0]
    assert ast.unparse(quoted) == ast.unparse(source)


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link.split("#")[0]).exists(), link
