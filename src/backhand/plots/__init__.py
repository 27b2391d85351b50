"""Figures from results: each function makes one `Drawing`, which can be read on a phone.

A drawing is SVG that follows the reader's theme, and words for those who can't see it. Series can
be told apart by colour, and by dash or marker.
"""

from backhand.plots.activations import activations
from backhand.plots.boundary import Plane, boundary
from backhand.plots.confusion import confusion
from backhand.plots.curves import curves
from backhand.plots.drawing import INK, SERIES, STYLE, Drawing, draw
from backhand.plots.examples import examples, mistakes
from backhand.plots.film import animate
from backhand.plots.fits import fits, surface_fits
from backhand.plots.graph import GraphNode, computational_graph
from backhand.plots.predictions import predictions
from backhand.plots.rows import dots, intervals
from backhand.plots.slopes import Function, value_and_slope
from backhand.plots.tints import tint
from backhand.plots.weights import weight_pictures

__all__ = [
    "INK", "SERIES", "STYLE", "Drawing", "Function", "GraphNode", "Plane", "activations", "animate",
    "boundary", "computational_graph", "confusion", "curves", "dots", "draw", "examples", "fits",
    "intervals", "mistakes", "predictions", "surface_fits", "tint", "value_and_slope",
    "weight_pictures",
]  # fmt: skip
