"""Every public layer, loss and combinator is in the catalogue, and right."""

import inspect

import pytest

import backhand
from backhand import Layer, Loss, check_backward
from backhand.verify.catalogue import catalogue, nets

ENTRIES = catalogue()


def returns(value, kinds):
    """Whether value is a function whose signature says that it returns one of these."""
    return inspect.isfunction(value) and inspect.signature(value).return_annotation in kinds


def test_nothing_public_is_missing():
    public = {name: getattr(backhand, name) for name in backhand.__all__}
    checkable = {
        name
        for name, value in public.items()
        if isinstance(value, Layer | Loss) or returns(value, (Layer, Loss))
    }
    assert {"tanh", "linear", "huber", "squared_error", "serial", "deterministic"} <= checkable
    assert checkable == {entry.name for entry in ENTRIES.values()}


def test_names_tell_entries_apart():
    assert len(ENTRIES) == 23
    assert {"linear(5) 6×5", "linear(3) 6×5", "huber 6×5"} <= set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_right(name):
    report = check_backward(ENTRIES[name].subject, *ENTRIES[name].inputs)
    assert report.ok, report
    assert not report.notes


def test_nets_have_every_layer():
    used = {layer.name for net in nets().values() for layer in net.parts}
    assert {"tanh", "relu", "softmax", "residual", "parallel"} <= used
