"""Every public layer, loss and combinator is in the catalogue, and right."""

import inspect

import jax
import numpy as np
import pytest

import backhand
from backhand import Layer, Loss, check_backward
from backhand.verify.cases import Case, normal_like
from backhand.verify.catalogue import catalogue, nets
from backhand.verify.comparisons import compare
from backhand.verify.subjects import as_subject

NAMES = list(catalogue())


@pytest.fixture(scope="module")
def entries():
    return catalogue()


def returns(value, kinds):
    """Whether value is a function whose signature says that it returns one of these."""
    return inspect.isfunction(value) and inspect.signature(value).return_annotation in kinds


def test_nothing_public_is_missing(entries):
    public = {name: getattr(backhand, name) for name in backhand.__all__}
    checkable = {
        name
        for name, value in public.items()
        if isinstance(value, Layer | Loss) or returns(value, (Layer, Loss))
    }
    assert {"tanh", "linear", "huber", "squared_error", "serial", "deterministic"} <= checkable
    assert checkable == {entry.name for entry in entries.values()}


def test_names_tell_entries_apart(entries):
    assert len(entries) == 24
    assert {"linear(5) 6×5", "linear(3) 6×5", "huber 6×5"} <= set(entries)


def test_every_gradient_is_autodiffs(entries):
    """All in one program, which is soon compiled; what else can be asked, the next test asks."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        cases = []
        for name, entry in entries.items():
            subject = as_subject(entry.subject, entry.inputs, None, seed=0)
            cases.append(Case(subject, name, subject.resize(7)))
        values, dys = [case.values for case in cases], [normal_like(c.y, rng) for c in cases]
        gradients = jax.jit(
            lambda values, dys: [
                (case.by_hand(v, dy), case.by_jax(v, dy))
                for case, v, dy in zip(cases, values, dys, strict=True)
            ]
        )(values, dys)
    for case, (got, wanted), dy in zip(cases, gradients, dys, strict=True):
        mismatch = compare(case.labels, got, wanted, dy)
        assert mismatch.figure <= 1e-12, f"{case.name}: {mismatch}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_right(name, entries):
    report = check_backward(entries[name].subject, *entries[name].inputs)
    assert report.ok, report
    assert not report.notes


def test_nets_have_every_layer():
    used = {layer.name for net in nets().values() for layer in net.parts}
    assert {"tanh", "relu", "softmax", "residual", "parallel"} <= used
