"""What a drawing is, and how to make one that suits a light page and a dark one.

Matplotlib draws once, in the colours of the light theme. In the SVG text each of them becomes a
CSS variable, and a style sheet inside the SVG gives the variables their values in both themes.
"""

import base64
import io
import re
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours by name, in both themes. Rust is for small letters, which need more contrast than lines.
# The six for series can be told apart by colour-blind readers (Okabe and Ito, 2008).
THEMES = {
    "light": {
        "ink": "#1c2127", "paper": "#fdfdfb", "rust": "#a84a00", "blue": "#0072b2",
        "red": "#d55e00", "green": "#009e73", "pink": "#cc79a7", "amber": "#e69f00",
        "sky": "#56b4e9",
    },
    "dark": {
        "ink": "#e3e5e8", "paper": "#14171a", "rust": "#e6a72b", "blue": "#56b4e9",
        "red": "#e69f00", "green": "#2fc79a", "pink": "#e59ac4", "amber": "#f0e442",
        "sky": "#5c9bd6",
    },
}  # fmt: skip
INK, PAPER, RUST, *SERIES = THEMES["light"].values()
NAMES = {colour: name for name, colour in THEMES["light"].items()}
_LIGHT, _DARK = (
    ":root{" + ";".join(f"--{name}:{colour}" for name, colour in theme.items()) + "}"
    for theme in THEMES.values()
)
STYLE = f"{_LIGHT}@media (prefers-color-scheme: dark){{{_DARK}}}"  # CSS: the variables
# An image has no colour of the theme: a filter gives it one, and keeps how opaque it is.
_TINTS = "".join(
    f'<filter id="{name}" x="0" y="0" width="1" height="1">'
    f'<feFlood style="flood-color:var(--{name})"/><feComposite operator="in" in2="SourceAlpha"/>'
    f"</filter><style>.tint.{name}{{filter:url(#{name})}}</style>"
    for name in THEMES["light"]
)

Options = dict[str, Any]  # of Matplotlib's functions
DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1)))
INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
LOOK: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "backhand",  # the same picture is the same file
    "image.composite_image": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.prop_cycle": cycler(color=SERIES, linestyle=DASHES),
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
    **dict.fromkeys(INKS, INK),
    **dict.fromkeys(["figure.facecolor", "axes.facecolor", "savefig.facecolor"], PAPER),
}


class Drawing(NamedTuple):
    """One picture: SVG text that follows the reader's theme, and in words what it shows.

    If the picture moves, `still` is one for readers who ask for less motion.
    """

    svg: str
    alt: str
    still: str = ""

    def __repr__(self) -> str:
        return self.alt

    def html(self, wide: bool = False) -> str:
        """The figure for a page, which needs no other file; `wide` for a report's main picture."""
        kind = ' class="wide"' if wide else ""
        moving, still = (
            f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
            for svg in (self.svg, self.still)
        )
        image = f'<img src="{moving}" alt="{escape(self.alt)}">'
        if self.still:  # an image does not see what its page's reader asks for
            source = f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
            image = f"<picture>{source}{image}</picture>"
        return f"<figure{kind}>{image}</figure>"

    def _repr_html_(self) -> str:
        """In a notebook the drawing shows itself."""
        return self.html()


def draw(
    panel: Callable[[Axes], None], alt: str, width: float = 4.4, height: float = 3.2
) -> Drawing:
    """A drawing of one panel, sizes in inches; if it has labels but no legend, that is below."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        panel(axes)
        if axes.get_legend() is None and axes.get_legend_handles_labels()[1]:
            legend_below(figure, axes)

    return draw_figure(paint, alt, width, height)


def draw_figure(
    paint: Callable[[Figure], None], alt: str, width: float = 4.4, height: float = 3.2
) -> Drawing:
    """A drawing of a whole figure, of several panels maybe; sizes in inches."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(width, height))
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "backhand"})
    return Drawing(_themed(file.getvalue()), alt)


def legend_below(figure: Figure, axes: Axes) -> None:
    """A panel's legend, below all, where it covers nothing; the figure grows by its height."""
    handles, labels = axes.get_legend_handles_labels()
    widest = 0.6 + 0.065 * max(map(len, labels))  # of an entry, about, in inches
    columns = max(1, min(len(labels), int(figure.get_figwidth() / widest)))
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _themed(svg: str) -> str:
    """The SVG in CSS variables, whose gids that are several words are classes instead."""
    svg = re.sub(r' id="(\w+(?: [\w-]+)+)"', r' class="\1"', svg)
    svg = re.sub(r' d="[^"]+"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    svg = re.sub("|".join(NAMES), lambda colour: f"var(--{NAMES[colour[0]]})", svg)
    return svg.replace("<defs>", f"<defs>\n  <style>{STYLE}</style>{_TINTS}", 1)
