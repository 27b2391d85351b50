import pytest

import backhand as bh
from backhand import layers
from backhand.inspection import rules
from backhand.verify.catalogue import catalogue

ENTRIES = catalogue()


@pytest.mark.parametrize("name", sorted(set(layers.__all__) - {"Linear", "glorot", "he", "lecun"}))
def test_every_layer_has_its_rule(name):
    arguments = {"linear": (2,), "dropout": (0.5,), "distort": ((2, 2),)}
    layer = getattr(bh, name)
    layer = layer if isinstance(layer, bh.Layer) else layer(*arguments.get(name, ()))
    own = ("w", "b") if name == "linear" else ()
    assert rules.layer_rule(layer, own) is rules.LAYERS[name]


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if isinstance(entry.subject, bh.Loss)]
)
def test_every_loss_has_its_rule(name):
    entry = ENTRIES[name]
    assert rules.loss_rule(entry.subject) is rules.LOSSES[entry.name]


def test_no_rule_leaves_a_blank():
    names = dict.fromkeys(["x", "y", "dy", "w", "b", "arg"], "v")
    for rule in [*rules.LAYERS.values(), *rules.LOSSES.values(), rules.SUM]:
        for said in (rule.forward, *rule.back.values()):
            assert "{" not in "".join(rules.fill(text, names) for text in said)


def test_another_with_the_same_name():
    """A name alone is no proof: other parameters, or a loss from elsewhere, and the rule is the general one."""
    assert rules.layer_rule(bh.linear(2), ("w",)).letter == "v"

    def squared_error():
        def forward(prediction, target):
            return ((prediction - target) ** 2).sum() / 2, prediction - target

        return bh.Loss(forward, lambda error: error)

    assert rules.loss_rule(squared_error()).forward.symbols == "loss({x}, y)"
