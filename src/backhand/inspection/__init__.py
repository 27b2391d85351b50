"""Back-propagation made visible: every value of a net's graph going forward, every gradient coming back.

`trace` runs the net and gets all gradients twice, by hand and by autodiff; `rules` has the formulas and
their words; `nodes` is what `explain` makes of the two.
"""

from backhand.inspection.explain import explain
from backhand.inspection.nodes import Explanation, Gradient, Kept, Node, Share

__all__ = ["Explanation", "Gradient", "Kept", "Node", "Share", "explain"]
