"""Figures from results: each function draws one panel, small enough to be read on a phone.

They return a `Drawing`: SVG in a light and a dark theme, and in words for those who can't see it. Series
are told apart by colour and by dash, in colours that colour-blind readers can tell apart (Okabe and Ito, 2008).
"""

from backhand.plots.capacity import Curve, bands, fits, with_errors
from backhand.plots.curves import curves
from backhand.plots.drawing import Drawing, draw, draw_figure
from backhand.plots.functions import Function, value_and_slope
from backhand.plots.graph import GraphNode, computational_graph
from backhand.plots.pictures import confusion, examples, mistakes, weight_pictures
from backhand.plots.plane import MOST_POINTS, Animation, Plane, activations, animate, boundary
from backhand.plots.regression import curve_fits, dots, predictions, residuals, surface_fits

__all__ = [
    "MOST_POINTS",
    "Animation",
    "Curve",
    "Drawing",
    "Function",
    "GraphNode",
    "Plane",
    "activations",
    "animate",
    "bands",
    "boundary",
    "computational_graph",
    "confusion",
    "curve_fits",
    "curves",
    "dots",
    "draw",
    "draw_figure",
    "examples",
    "fits",
    "mistakes",
    "predictions",
    "residuals",
    "surface_fits",
    "value_and_slope",
    "weight_pictures",
    "with_errors",
]
