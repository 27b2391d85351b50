"""The command line: a report and a verdict, or one clear line."""

import subprocess
import sys

import pytest

from backhand.verify.__main__ import main

MODULE = """
import jax, jax.numpy as jnp
from backhand import linear, tanh

layer = linear(3)
wrong = tanh._replace(backward=lambda params, y, dy: ((), dy), name="wrong")
pair = (lambda x: (jnp.sin(x), x), lambda x, dy: jnp.cos(x) * dy)

def plain(x, y):
    return x * y

rule = jax.custom_vjp(plain)
rule.defvjp(lambda x, y: (x * y, (x, y)), lambda xy, dz: (xy[1] * dz, xy[0] * dz))
"""


def slow(command):
    return pytest.param(command, marks=pytest.mark.slow)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with my_module in it."""
    (tmp_path / "my_module.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import nowhere", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "my_module", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        slow("my_module:layer --shape 4,2 --dtype bfloat16 --dtype float16"),
        "my_module:pair --shape 4",
        "my_module:rule --reference my_module:plain --shape 4,2 --shape 4,2 --seed 3",
        slow("backhand:squared_error --shape 4,2 --shape 4,2"),
        slow("backhand:logistic --shape 4,1 --labels 2"),
        "backhand:cross_entropy --shape 4,3 --labels 3",
        slow("backhand:softmax_cross_entropy --shape 4,3 --labels 3"),
    ],
)
def test_right(folder, command, capsys):
    assert main(command.split()) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].endswith(": right")
    for dtype in ("bfloat16", "float16"):
        assert (f"precision, {dtype}" in printed) is (dtype in command)


def test_wrong(folder, capsys):
    assert main(["my_module:wrong", "--shape", "4,2"]) == 1
    printed = capsys.readouterr().out
    assert "backward of wrong: WRONG" in printed
    assert "dx is dy itself" in printed


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("backhand:tanh", "the following arguments are required: --shape"),
        ("--shape 4,2", "the following arguments are required: PACKAGE.MODULE:NAME"),
        ("a.b-c:tanh --shape 4", "a.b-c:tanh can't be checked: ValueError: invalid format"),
        ("nowhere:tanh --shape 4", "nowhere:tanh can't be checked: ModuleNotFoundError: No module"),
        (
            "broken:tanh --shape 4",
            "can't be checked: ModuleNotFoundError: No module named 'nowhere",
        ),
        ("my_module:lair --shape 4", "module 'my_module' has no attribute 'lair'"),
        ("my_module:layer --shape 4,x", "a shape is whole numbers from 1 with commas between"),
        ("my_module:layer --shape 0,2", "a shape is whole numbers from 1 with commas between"),
        ("my_module:layer --shape 4,2 --dtype int8", "argument --dtype: invalid choice: 'int8'"),
        (
            "my_module:layer --shape 4",
            "can't be checked: ValueError: linear(3): x should have shape",
        ),
        ("my_module:layer --shape 4,2 --shape 4", "a Layer is checked on one x, got 2 inputs"),
        ("my_module:__name__ --shape 4", "subject should be a Layer"),
        ("backhand:linear --shape 4,2", "one that makes layers should be called, as in linear(10)"),
        ("my_module:rule --shape 4 --shape 4", "needs reference=, the plain function"),
        ("my_module:rule --reference my_module:no --shape 4 --shape 4", "has no attribute 'no'"),
        ("backhand:squared_error --shape 4,2", "a Loss is checked on a prediction and a target"),
        ("backhand:softmax_cross_entropy --shape 4,3 --labels 9", "labels from 0 to 2"),
        (
            "backhand:softmax_cross_entropy --shape 4,3 --labels 0",
            "--labels should be at least 1, got 0",
        ),
    ],
)
def test_what_cannot_be_checked(folder, command, says, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(command.split())
    assert exit_.value.code == 2
    out, error = capsys.readouterr()
    assert says in error
    assert (out, error.count("\n")) == ("", 1)


@pytest.mark.slow
def test_as_a_command(folder):
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "backhand.verify",
        "my_module:wrong",
        "--shape",
        "4,2",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, "")
    assert "dx is dy itself" in result.stdout
