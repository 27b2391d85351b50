from typing import Any

import jax
import numpy as np
import pytest

from backhand.storage.digests import fingerprint, sha256

ARRAYS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}


def test_order_and_layout_do_not_matter():
    shuffled = {"b": ARRAYS["b"], "w": np.asfortranarray(ARRAYS["w"])}
    assert sha256(shuffled) == sha256(ARRAYS)


@pytest.mark.parametrize(
    "change",
    [
        {"w": ARRAYS["w"] + np.float32(1e-6)},
        {"w": ARRAYS["w"].reshape(3, 2)},
        {"w": ARRAYS["w"].view(np.int32)},
        {"b": -ARRAYS["b"]},  # −0 is another number to whoever divides by it
        {"c": np.zeros(0, np.float32)},
    ],
)
def test_everything_else_does(change):
    assert sha256(ARRAYS | change) != sha256(ARRAYS)


PROGRAM = """
import jax, jax.numpy as jnp

def f(x, w):
    def body(total, row):
        return total + jnp.tanh(row @ w).sum() * 3.5, row.sum()
    return jax.lax.scan(body, jnp.zeros((), x.dtype), x)
"""


def compiled(source=PROGRAM, file="a/f.py", rows=4):
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)
    x, w = jax.ShapeDtypeStruct((rows, 8, 3), "float32"), jax.ShapeDtypeStruct((3, 2), "float32")
    return str(jax.jit(names["f"]).lower(x, w).compile().as_text())


@pytest.fixture
def built_anew():
    """A cache of programs would give the words of the one that was compiled first."""
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    yield
    jax.config.update("jax_compilation_cache_include_metadata_in_key", False)


def test_a_program_is_the_same_wherever_its_source_lies(built_anew):
    here, there = compiled(), compiled("\n\n" + PROGRAM, 'b "c" }, metadata={d\\f.py')
    assert here != there
    assert "f.py" in there
    assert fingerprint(here) == fingerprint(there)


@pytest.mark.parametrize(
    "change",
    [
        {"source": PROGRAM.replace("3.5", "3.25")},
        {"source": PROGRAM.replace("tanh", "sin")},
        {"source": PROGRAM.replace("row.sum()", "row.max()")},
        {"rows": 5},
    ],
)
def test_another_program_has_another_fingerprint(change):
    assert fingerprint(compiled(**change)) != fingerprint(compiled())


def test_every_instruction_counts():
    """Nothing but words on the source is left out: any other line changed shows."""
    lines = compiled().splitlines()
    whole, start = fingerprint("\n".join(lines)), lines.index("StackFrames")
    body = [i for i in range(start, len(lines)) if "=" in lines[i] and "file_location_id" not in lines[i]]
    assert len(body) > 30
    for i in body:
        assert fingerprint("\n".join(lines[:i] + lines[i + 1 :])) != whole, lines[i]


def test_a_program_is_text():
    with pytest.raises(TypeError, match="program should be text, from as_text"):
        fingerprint(None)
