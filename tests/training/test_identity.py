"""What a training is: nothing that changes its end goes unnoticed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand.training.identity import digest_of, traced_as

PROGRAM = """
import jax, jax.numpy as jnp

def f(x, w):
    def body(total, row):
        return total + jnp.tanh(row @ w).sum() * 3.5, row.sum()
    return jax.lax.scan(body, jnp.zeros((), x.dtype), x)
"""


def traced(source=PROGRAM, file="a/f.py", rows=4):
    names = {}
    exec(compile(source, file, "exec"), names)
    x, w = jax.ShapeDtypeStruct((rows, 8, 3), "float32"), jax.ShapeDtypeStruct((3, 2), "float32")
    return traced_as(names["f"], x, w)


def test_a_program_has_one_digest_wherever_its_source_lies():
    moved = "\n\n" + PROGRAM.replace("total", "sum_of_them")
    assert traced() == traced(moved, 'b "c" }, metadata={d\\f.py')


@pytest.mark.parametrize(
    "change",
    [
        {"source": PROGRAM.replace("3.5", "3.25")},
        {"source": PROGRAM.replace("tanh", "sin")},
        {"source": PROGRAM.replace("row.sum()", "row.max()")},
        {"rows": 5},
    ],
)
def test_a_different_program_has_a_different_digest(change):
    assert traced(**change) != traced()


def by_hand(f):
    rule = jax.custom_vjp(f)
    rule.defvjp(lambda x: (f(x), None), lambda residuals, dy: (dy,))
    return rule


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: f,
        jax.jit,
        by_hand,
        lambda f: by_hand(jax.jit(f)),
        lambda f: jax.checkpoint(jax.jit(f)),
        lambda f: lambda x: jax.lax.cond(x[0] > 0, jax.jit(f), f, x),
        lambda f: lambda x: jax.lax.fori_loop(0, 3, lambda i, x: jax.jit(f)(x), x),
    ],
    ids=[
        "plain",
        "jit",
        "custom_vjp",
        "jit in custom_vjp",
        "in checkpoint",
        "in cond",
        "in a loop",
    ],
)
def test_a_constant_counts_however_deep_it_is(wrap):
    def with_constant(last):
        constant = np.arange(2000.0)
        constant[-1] = last
        return traced_as(wrap(lambda x: x + constant), jax.ShapeDtypeStruct((2000,), np.float64))

    assert with_constant(1.0) == with_constant(1.0)
    assert with_constant(1.0) != with_constant(2.0)


def test_a_key_counts_as_a_constant():
    def with_key(seed):
        key = jax.random.key(seed)
        return traced_as(lambda x: x + jax.random.normal(key, (3,)), jnp.ones(3))

    assert with_key(1) == with_key(1) != with_key(2)


def test_an_array_that_can_change_is_digested_anew():
    a = np.zeros(3)
    fixed = a.view()
    fixed.flags.writeable = False  # but not what it is a view of
    for array in (a, fixed):
        before = digest_of(array)
        a[0] += 1
        assert digest_of(array) != before
    buffer = bytearray(8)
    view = np.frombuffer(memoryview(buffer).toreadonly())
    before = digest_of(view)
    buffer[0] = 1
    assert digest_of(view) != before


def test_an_array_that_cannot_change_is_digested_once(monkeypatch):
    a = jnp.arange(3)
    before = digest_of(a)
    monkeypatch.setattr("backhand.training.identity.sha256", None)
    assert digest_of(a) == before
