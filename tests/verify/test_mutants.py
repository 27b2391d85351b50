import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Layer, softmax_cross_entropy, squared_error, tanh
from backhand.verify import check_backward
from backhand.verify.catalogue import catalogue
from backhand.verify.mutants import Mutant, differentiable, equivalent, mutants

ENTRIES = catalogue()
SOME = {name: ENTRIES[name] for name in ("parallel 6×5", "tanh 6×5", "squared_error 6×5")}
ONE_OF_EACH = list({mutant.kind: mutant for mutant in mutants(SOME)}.values())
# The rest are planted by hand in test_diagnosis; `make mutants` tries them all.
HARD = {"0.01 % too small", "NaN far out", "another dtype", "clipped", "dy clipped", "dy's sign alone",
        "every other entry off", "last of an odd batch lost", "stale", "swapped"}  # fmt: skip


def test_there_are_enough():
    everything = list(mutants(ENTRIES))
    assert len({mutant.kind for mutant in everything}) >= 15
    assert len(everything) >= 200
    assert {mutant.name for mutant in everything} == set(ENTRIES)
    assert {mutant.kind for mutant in ONE_OF_EACH} == {mutant.kind for mutant in everything} > HARD


@pytest.mark.parametrize("mutant", [m for m in ONE_OF_EACH if m.kind in HARD], ids=lambda mutant: mutant.kind)
def test_the_hard_ones_are_caught_and_named(mutant):
    assert not equivalent(mutant)
    report = check_backward(mutant.subject, *mutant.inputs)
    assert not report.ok
    if mutant.named:
        assert {diagnosis.kind for diagnosis in report.diagnoses} & set(mutant.named), str(report)


def test_what_changes_nothing_is_equivalent():
    inputs = ENTRIES["tanh 6×5"].inputs
    same = tanh._replace(backward=lambda p, y, dy: ((), dy * (1 - y) * (1 + y)))  # in another order
    assert equivalent(Mutant("tanh", "reordered", (), tanh, same, inputs))
    slightly = tanh._replace(backward=lambda p, y, dy: ((), dy * (1 - y * y) * (1 + 1e-9)))
    assert not equivalent(Mutant("tanh", "off by 1e-9", (), tanh, slightly, inputs))
    far = tanh._replace(
        forward=lambda p, x, key: (jnp.tanh(x), x),
        backward=lambda p, x, dy: ((), jnp.where(abs(x) > 100, 1.0, dy * (1 - jnp.tanh(x) ** 2))),
    )
    assert not equivalent(Mutant("tanh", "wrong far out", (), tanh, far, inputs))


@pytest.mark.parametrize(
    "name", ["linear(3) 6×5", "serial 6×5", "squared_error 6×5", "softmax_cross_entropy 6×5"]
)
def test_other_checkers_are_given_the_rule_itself(name):
    entry = ENTRIES[name]
    function, leaves = differentiable(entry.subject, entry.inputs, "float64")
    y, pull = jax.vjp(function, *leaves)
    dy = jnp.asarray(np.random.default_rng(0).standard_normal(y.shape))
    if isinstance(entry.subject, Layer):
        wrong = entry.subject._replace(
            backward=lambda p, r, dy: jax.tree.map(jnp.negative, entry.subject.backward(p, r, dy))
        )
    else:
        wrong = entry.subject._replace(backward=lambda r: -entry.subject.backward(r))
    _, wrong_pull = jax.vjp(differentiable(wrong, entry.inputs, "float64")[0], *leaves)
    for right, negative in zip(pull(dy), wrong_pull(dy), strict=True):
        np.testing.assert_array_equal(right, -negative)
        assert right.any()


def test_losses_are_mutated_too():
    kinds = {m.kind for m in mutants(ENTRIES) if m.original in (squared_error, softmax_cross_entropy)}
    assert {"sum for mean", "wrong sign", "transposed"} <= kinds
