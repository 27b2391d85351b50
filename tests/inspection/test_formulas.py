import pytest

import backhand as bh
from backhand import layers
from backhand.inspection import formulas
from backhand.verify.catalogue import catalogue

ENTRIES = catalogue()


@pytest.mark.parametrize("name", sorted(set(layers.__all__) - {"Linear", "glorot", "he"}))
def test_every_layer_has_its_rule(name):
    arguments = {"linear": (2,), "dropout": (0.5,), "distort": ((2, 2),)}
    layer = getattr(bh, name)
    layer = layer if isinstance(layer, bh.Layer) else layer(*arguments.get(name, ()))
    own = ("w", "b") if name == "linear" else ()
    assert formulas.rule_of(layer, own) is formulas.LAYERS[name]


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if isinstance(entry.subject, bh.Loss)]
)
def test_every_loss_has_its_rule(name):
    entry = ENTRIES[name]
    assert formulas.rule_of(entry.subject) is formulas.LOSSES[entry.name]


def test_no_rule_leaves_a_blank():
    names = dict.fromkeys(["x", "y", "dy", "w", "b", "arg"], "v")
    for rule in [*formulas.LAYERS.values(), *formulas.LOSSES.values(), formulas.SUM]:
        for said in (rule.forward, *rule.back.values()):
            assert "{" not in "".join(formulas.fill(text, names) for text in said)


def test_another_with_the_same_name():
    """A name is not enough: with other parameters, or from elsewhere, the rule is general."""
    assert formulas.rule_of(bh.linear(2), ("w",)).letter == "v"

    def squared_error():
        def forward(prediction, target):
            return ((prediction - target) ** 2).sum() / 2, prediction - target

        return bh.Loss(forward, lambda error: error)

    assert formulas.rule_of(squared_error()).forward.symbols == "loss({x}, y)"
