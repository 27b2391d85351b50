"""Digests: equal for equal arrays and programs, and for nothing else."""

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
        {"b": -ARRAYS["b"]},  # dividing by −0 gives a different number
        {"c": np.zeros(0, np.float32)},
    ],
)
def test_everything_else_matters(change):
    assert sha256(ARRAYS | change) != sha256(ARRAYS)


PROGRAM = """
import jax, jax.numpy as jnp

def f(x, w):
    def body(total, row):
        return total + jnp.tanh(row @ w).sum() * 3.5, row.sum()
    return jax.lax.scan(body, jnp.zeros((), x.dtype), x)
"""


def lowered(source=PROGRAM, file="a/f.py", rows=4):
    names = {}
    exec(compile(source, file, "exec"), names)
    x, w = jax.ShapeDtypeStruct((rows, 8, 3), "float32"), jax.ShapeDtypeStruct((3, 2), "float32")
    return jax.jit(names["f"]).lower(x, w).as_text()


def test_a_program_has_one_fingerprint_wherever_its_source_lies():
    moved = "\n\n" + PROGRAM.replace("total", "sum_of_them")
    assert fingerprint(lowered()) == fingerprint(lowered(moved, 'b "c" }, metadata={d\\f.py'))


@pytest.mark.parametrize(
    "change",
    [
        {"source": PROGRAM.replace("3.5", "3.25")},
        {"source": PROGRAM.replace("tanh", "sin")},
        {"source": PROGRAM.replace("row.sum()", "row.max()")},
        {"rows": 5},
    ],
)
def test_a_different_program_has_a_different_fingerprint(change):
    assert fingerprint(lowered(**change)) != fingerprint(lowered())


def test_a_large_constant_counts():
    """No entry is left out of the text for its length."""

    def with_constant(last):
        constant = np.arange(2000.0)
        constant[-1] = last
        return jax.jit(lambda x: x + constant).lower(np.zeros(2000)).as_text()

    assert fingerprint(with_constant(1.0)) != fingerprint(with_constant(2.0))
