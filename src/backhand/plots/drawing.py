"""What a drawing is, its two themes, and how to make one."""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backhand.reporting import page as report


class Drawing(NamedTuple):
    """One picture: two SVG texts, and what they show in words."""

    light: str
    dark: str
    alt: str

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        """In a notebook the drawing shows itself."""
        return report.figure(*self)


BASE = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "backhand",  # the same picture is the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def _theme(ink: str, paper: str, colours: str) -> dict[Any, Any]:
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    papers = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    return {
        **BASE,
        **dict.fromkeys(inks, ink),
        **dict.fromkeys(papers, paper),
        "axes.prop_cycle": cycler(
            color=colours.split(), linestyle=["-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1))]
        ),
    }


THEMES = {
    "light": _theme("#1c2127", "#fdfdfb", "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9"),
    "dark": _theme("#e3e5e8", "#14171a", "#56B4E9 #E69F00 #2FC79A #E59AC4 #F0E442 #5C9BD6"),
}


def draw(panel: Callable[[Axes], None], alt: str, width: float = 4.4, height: float = 3.2) -> Drawing:
    """Draw one panel in each theme; sizes in inches."""
    return draw_figure(lambda figure: panel(figure.add_subplot()), alt, width, height)


def draw_figure(paint: Callable[[Figure], None], alt: str, width: float, height: float) -> Drawing:
    """Draw a whole figure in each theme, for one picture of several panels; sizes in inches."""
    themes = {}
    for name, theme in THEMES.items():
        with mpl.rc_context(theme):
            figure = Figure(figsize=(width, height))
            paint(figure)
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "backhand"})
            themes[name] = file.getvalue()
    return Drawing(**themes, alt=alt)
