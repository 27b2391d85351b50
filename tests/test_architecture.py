"""What keeps the parts apart: who may import whom, and that no backward asks autodiff."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backhand
from tests.trees import AUTODIFF

SOURCE = Path(backhand.__file__).parent
MODULES = {".".join(p.relative_to(SOURCE).with_suffix("").parts): p for p in sorted(SOURCE.rglob("*.py"))}

# Each part, and the parts it may import. What is not listed may import nothing of backhand.
MAY_IMPORT = {
    "checks": {"layer"},
    "layers": {"layer", "checks"},
    "combinators": {"layer", "checks"},
    "losses": {"layer", "checks"},
    "metrics": {"checks"},
    "summary": {"layer", "checks"},
    "gradients": {"layer", "losses", "checks"},
    "bridge": {"layer", "checks"},
    "explanation": {"layer", "combinators", "losses", "checks"},
    "nonfinite": {"layer", "losses"},
    "training": {"layer", "losses", "gradients", "checks"},
    "progress": set(),
    "signals": set(),
    "checkpoints": {"checks", "files"},
    "sitting": {"training", "checkpoints", "signals", "files", "digest"},
    "loop": {"layer", "losses", "training", "nonfinite", "checkpoints", "sitting", "files", "digest"},
    "fit": {"layer", "losses", "nonfinite", "training", "loop", "checkpoints", "progress", "checks"},
    "seeds": {
        "layer",
        "losses",
        "nonfinite",
        "training",
        "checkpoints",
        "sitting",
        "files",
        "digest",
        "progress",
        "checks",
    },
    "perceptrons": {"layer", "layers", "combinators", "checks"},
    "verify": {"layer", "layers", "combinators", "losses", "gradients", "checks"},
    "data": {"digest"},
    "files": {"layer", "checks", "digest"},
    "runs": {"checkpoints", "digest", "files", "report"},
    "timing": set(),
    "report": set(),
    "resampling": set(),
    "plots": {"report"},
    "notebook": {"report", "runs"},
}
CORE = {
    "layer",
    "checks",
    "layers",
    "combinators",
    "losses",
    "metrics",
    "summary",
    "gradients",
    "bridge",
    "explanation",
    "nonfinite",
    "training",
    "progress",
    "signals",
    "sitting",
    "loop",
    "fit",
    "seeds",
    "perceptrons",
    "verify",
    "digest",
}


def part(module: str) -> str:
    return module.removeprefix("backhand.").split(".")[0]


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names = [alias.name for alias in node.names]
            found += (
                [f"backhand.{name}" for name in names] if node.module == "backhand" else [str(node.module)]
            )
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_imports_run_one_way(module):
    ours = {part(name) for name in imports(MODULES[module]) if name.startswith("backhand")}
    assert ours - {part(module)} <= MAY_IMPORT.get(part(module), set())
    if part(module) in CORE:
        others = {name.split(".")[0] for name in imports(MODULES[module])} - sys.stdlib_module_names
        assert others <= {"backhand", "jax", "numpy", "optax"}


def test_layers_never_import_one_another():
    for name, path in MODULES.items():
        if name.startswith("layers.") and not name.endswith("__init__"):
            assert not [i for i in imports(path) if i.startswith("backhand.layers")]


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in {"layers", "combinators", "losses"}])
def test_no_backward_asks_autodiff(module):
    words = rf"\b({'|'.join(AUTODIFF)})\b"
    assert not re.findall(words, MODULES[module].read_text(encoding="utf-8"))


def test_the_core_needs_no_extra():
    code = (
        "import sys, backhand; "
        "extras = {'sklearn', 'matplotlib', 'rich', 'tyro', 'safetensors', 'orbax'}; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & extras))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_public_names():
    assert sorted(backhand.__all__) == sorted(set(backhand.__all__))
    for name in set(backhand.__all__) - {"glorot", "he", "lecun"}:  # these are made by jax.nn.initializers
        assert getattr(backhand, name).__doc__, name
    from backhand import layers, losses

    assert set(layers.__all__) <= set(backhand.__all__)
    assert {name for name, value in vars(losses).items() if isinstance(value, losses.Loss)} <= set(
        backhand.__all__
    )


PROGRAMS = [*MODULES.values(), *sorted((SOURCE.parents[1] / "experiments").glob("*.py"))]
RUNS_WHAT_IT_READS = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "torch",
    "runpy",
    "code",
}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_nothing_that_is_read_is_run(path):
    assert not {name.split(".")[0] for name in imports(path)} & RUNS_WHAT_IT_READS
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in {"eval", "exec", "compile", "__import__"}, f"line {node.lineno}"
        if called in {"np.load", "numpy.load", "jnp.load"}:
            said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert said.get("allow_pickle") == "False", f"line {node.lineno}"


def test_a_layer_file_fits_the_eye():
    for name, path in MODULES.items():
        if name.startswith("layers."):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 100, name
