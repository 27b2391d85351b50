"""What keeps the parts apart: who may import whom, and that no backward asks autodiff."""

import ast
import re
import subprocess
import sys
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import pytest

import backhand
from backhand import layers, losses
from tests.trees import AUTODIFF

SOURCE = Path(backhand.__file__).parent
MODULES = {".".join(p.relative_to(SOURCE).with_suffix("").parts): p for p in SOURCE.rglob("*.py")}
EXPERIMENTS = sorted((SOURCE.parents[1] / "experiments").glob("*.py"))

# A part may import itself, and what is on a lower level.
LEVELS = (
    {"layer"},
    {"checks"},
    {"layers", "combinators", "losses", "metrics", "interop"},
    {"gradients"},
    {"storage"},
    {"data"},
    {"training", "inspection", "verify", "models"},
    {"plots"},
    {"reporting"},
    {"runs"},
)
MATHEMATICS = set().union(*LEVELS[:4])


def part(module: str) -> str:
    return module.removeprefix("backhand.").split(".")[0]


@lru_cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += names if node.module == "backhand" else [str(node.module)]
    return found


def named(wanted: set[str]) -> list[str]:
    return [name for name in MODULES if part(name) in wanted]


def test_every_part_has_its_level():
    assert {part(name) for name in MODULES} - {"__init__"} == set().union(*LEVELS)
    assert len(list(SOURCE.glob("*.py"))) <= 9


def test_imports_run_one_way():
    for level, lower in zip(LEVELS, accumulate(LEVELS, set.union, initial=set()), strict=False):
        for name in named(level):
            ours = {part(i) for i in imports(parsed(MODULES[name])) if i.startswith("backhand")}
            assert ours - {part(name)} <= lower, name


def test_the_mathematics_needs_three_packages():
    for name in named(MATHEMATICS | {"training", "inspection", "verify", "models"}):
        roots = {i.split(".")[0] for i in imports(parsed(MODULES[name]))} - sys.stdlib_module_names
        assert roots <= {"backhand", "jax", "numpy", "optax"}, name


def test_layers_never_import_one_another():
    for name in named({"layers"}):
        if name != "layers.__init__":
            ours = imports(parsed(MODULES[name]))
            assert not [i for i in ours if i.startswith("backhand.layers")], name


def test_no_import_of_ours_inside_a_function():
    for path in (*MODULES.values(), *EXPERIMENTS):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                assert not [i for i in imports(node) if i.startswith("backhand")], path


def test_the_library_names_no_experiment():
    names = "|".join(path.stem for path in EXPERIMENTS)
    for path in MODULES.values():
        text = path.read_text(encoding="utf-8")
        assert not re.findall(
            rf"experiments[/.]\w+|\bmake (?:{names})\b|\b(?:{names})\.py", text
        ), path


@pytest.mark.parametrize("name", named({"layers", "combinators", "losses"}))
def test_no_backward_asks_autodiff(name):
    words = rf"\b({'|'.join(AUTODIFF)})\b"
    assert not re.findall(words, MODULES[name].read_text(encoding="utf-8"))


def test_a_layer_file_fits_the_eye():
    for name in named({"layers"}):
        assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 100, name


def test_the_core_needs_no_extra():
    code = (
        "import sys, backhand; "
        "extras = {'sklearn', 'matplotlib', 'rich', 'tyro', 'safetensors'}; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & extras))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""


def test_public_names():
    assert sorted(backhand.__all__) == sorted(set(backhand.__all__))
    for name in backhand.__all__:
        assert getattr(backhand, name).__doc__, name
    own = {name for name, value in vars(losses).items() if isinstance(value, losses.Loss)}
    assert own | set(layers.__all__) <= set(backhand.__all__)


# Packages that run what they read.
RUNNERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch", "code"}


def test_nothing_that_is_read_is_run():
    for path in (*MODULES.values(), *EXPERIMENTS):
        assert not {name.split(".")[0] for name in imports(parsed(path))} & RUNNERS, path
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                called, where = ast.unparse(node.func), f"{path}, line {node.lineno}"
                assert called not in {"eval", "exec", "compile", "__import__"}, where
                if called in {"np.load", "numpy.load", "jnp.load"}:
                    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                    assert given.get("allow_pickle") == "False", where
