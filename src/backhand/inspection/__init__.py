"""Back-propagation made visible: every value of a net's graph, every gradient coming back.

`trace` runs the net and gets all gradients twice, by hand and by autodiff; `formulas` has each
layer's formulas and their words; `nodes` is what `explain` makes of the two. `summary` is a table
of a net's layers.
"""

from backhand.inspection.explain import explain
from backhand.inspection.nodes import Explanation, Gradient, Node, Share
from backhand.inspection.summary import summary

__all__ = ["Explanation", "Gradient", "Node", "Share", "explain", "summary"]
