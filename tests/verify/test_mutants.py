import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import softmax_cross_entropy, squared_error, tanh
from backhand.verify import check_backward
from backhand.verify.catalogue import catalogue
from backhand.verify.mutants import Mutant, differentiable, equivalent, mutants

# The rest are planted by hand in test_diagnosis; `make mutants` tries them all.
HARD = (
    *("0.01 % too small", "NaN far out", "another dtype", "clipped", "dy clipped", "stale"),
    *("dy's sign alone", "every other entry off", "last of an odd batch lost", "swapped"),
)
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def entries():
    return catalogue()


@pytest.fixture(scope="module")
def one_of_each(entries):
    some = {name: entries[name] for name in ("parallel 6×5", "tanh 6×5", "squared_error 6×5")}
    return {mutant.kind: mutant for mutant in mutants(some)}


@slow
def test_there_are_enough(entries, one_of_each):
    everything = list(mutants(entries))
    assert len({mutant.kind for mutant in everything}) >= 15
    assert len(everything) >= 200
    assert {mutant.name for mutant in everything} == set(entries)
    assert set(one_of_each) == {mutant.kind for mutant in everything} > set(HARD)
    losses = {m.kind for m in everything if m.original in (squared_error, softmax_cross_entropy)}
    assert {"sum for mean", "wrong sign", "transposed"} <= losses


@pytest.mark.parametrize("kind", [*HARD[:2], *(pytest.param(k, marks=slow) for k in HARD[2:])])
def test_the_hard_ones_are_caught_and_named(kind, one_of_each):
    mutant = one_of_each[kind]
    assert not equivalent(mutant)
    report = check_backward(mutant.subject, *mutant.inputs)
    assert not report.ok
    if mutant.named:
        assert {diagnosis.kind for diagnosis in report.diagnoses} & set(mutant.named), str(report)


def test_what_changes_nothing_is_equivalent(entries):
    inputs = entries["tanh 6×5"].inputs
    # In another order.
    same = tanh._replace(backward=lambda p, y, dy: ((), dy * (1 - y) * (1 + y)))
    assert equivalent(Mutant("tanh", "reordered", (), tanh, same, inputs))
    slightly = tanh._replace(backward=lambda p, y, dy: ((), dy * (1 - y * y) * (1 + 1e-9)))
    assert not equivalent(Mutant("tanh", "off by 1e-9", (), tanh, slightly, inputs))
    far = tanh._replace(
        forward=lambda p, x, key: (jnp.tanh(x), x),
        backward=lambda p, x, dy: ((), jnp.where(abs(x) > 100, 1.0, dy * (1 - jnp.tanh(x) ** 2))),
    )
    assert not equivalent(Mutant("tanh", "wrong far out", (), tanh, far, inputs))


@pytest.mark.parametrize(
    "name", ["linear(3) 6×5", "softmax_cross_entropy 6×5", pytest.param("serial 6×5", marks=slow)]
)
def test_other_checkers_are_given_the_rule_itself(name, entries):
    _, subject, inputs = entries[name]

    def negative(*given):
        return jax.tree.map(jnp.negative, subject.backward(*given))

    wrong = subject._replace(backward=negative)
    (right_f, leaves), (wrong_f, _) = (
        differentiable(f, inputs, "float64") for f in (subject, wrong)
    )
    y, pull = jax.vjp(right_f, *leaves)
    dy = jnp.asarray(np.random.default_rng(0).standard_normal(y.shape))
    _, wrong_pull = jax.vjp(wrong_f, *leaves)
    for a, b in zip(pull(dy), wrong_pull(dy), strict=True):
        np.testing.assert_array_equal(a, -b)
        assert a.any()
