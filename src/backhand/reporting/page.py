"""A report: one HTML page with everything in it, for a phone and a desk, by day and by night.

Each function returns a piece of HTML; a `Report` puts the pieces together. Pieces escape the text
that they are given. Figures come from `backhand.plots`: `drawing.html()` is a piece, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from backhand import plots

STYLE = """
:root { color-scheme: light dark; --faint: #5c6670; --line: #d9dcd8; --panel: #f3f4f0; }
@media (prefers-color-scheme: dark) {
  :root { --faint: #a0a8b0; --line: #33393f; --panel: #1c2024; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0 0 .25rem; }
p { max-width: 46rem; margin: .5rem 0; }
.lead { font-size: 1.25rem; line-height: 1.4; }
.caption, caption { text-align: left; color: var(--faint); font-size: .875rem; margin: 1rem 0 0; }
.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th, td:first-child { white-space: nowrap; overflow-wrap: normal; }
th { font-weight: 600; color: var(--faint); font-size: .875rem; vertical-align: bottom; }
td:not(.number):not(:first-child) { min-width: 6.5rem; }
th.number, td.number { text-align: right; white-space: nowrap; }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
figure { margin: .5rem 0; max-width: 38rem; }
figure.wide { max-width: 52rem; grid-column: 1 / -1; }
figure img { display: block; width: 100%; height: auto; }
.step { border-left: .25rem solid var(--blue); padding-left: 1rem; margin: 1.5rem 0; }
.step.backward { border-left: .25rem dashed var(--red); }
.matrices { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; margin: .75rem 0; }
.matrix { max-width: 100%; overflow-x: auto; }
.matrix table { border: solid var(--faint); border-width: 0 2px; border-radius: .5rem; }
.matrix caption { white-space: nowrap; margin: 0; }
.matrix td { border: 0; padding: .05rem .6rem; text-align: right; white-space: nowrap; }
pre { background: var(--panel); padding: .75rem 1rem; overflow-x: auto; border-radius: .375rem; }
summary { cursor: pointer; color: var(--faint); }
"""


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """A command, or some lines of a program."""
    return f"<pre><code>{escape(text)}</code></pre>"


def details(summary: str, *pieces: str) -> str:
    """Pieces folded away under a line that opens them."""
    inside = "\n".join(pieces)
    return f"<details><summary>{escape(summary)}</summary>\n{inside}\n</details>"


class Table(NamedTuple):
    """A table in words: the report shows it, the terminal prints it."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def html(self, most: int = 8) -> str:
        """The table; one of more rows than `most` is folded under its caption.

        Columns after the first whose cells all are numbers are set as numbers.
        """
        rows = [[str(cell) for cell in row] for row in self.rows]
        numbers = [i > 0 and all(_is_number(r[i]) for r in rows) for i in range(len(self.header))]
        kinds = [' class="number"' if is_number else "" for is_number in numbers]

        def line(tag: str, cells: Sequence[str]) -> str:
            pairs = zip(cells, kinds, strict=True)
            return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in pairs)

        head = f"<thead><tr>{line('th', self.header)}</tr></thead>\n"
        body = "".join(f"<tr>{line('td', row)}</tr>\n" for row in rows)
        grid = f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'
        if len(rows) > most:
            return details(self.caption or "The whole table", grid)
        return f'<p class="caption">{escape(self.caption)}</p>{grid}' if self.caption else grid


def _is_number(cell: str) -> bool:
    """Whether a cell begins like a number, or an interval, and has no word longer than a unit."""
    return re.fullmatch(r"(?!.*(→|[a-z]{4}))([\d+−\-–∞\[]|NaN|inf).*|", cell) is not None


@dataclass(frozen=True)
class Report:
    """A run's report.

    Attributes:
      title: what was done.
      finding: the one sentence it comes to; fixed text, chosen by a verdict.
      picture: the one figure that shows it, in HTML; `pieces` are all the rest.
      table: what the terminal prints, 80 columns wide at most.
      style: CSS for pieces that need more than the page has.
    """

    title: str
    finding: str
    picture: str
    pieces: Sequence[str]
    table: Table
    style: str = ""

    def html(self, *again: str) -> str:
        """The page: finding, picture and pieces, and what the frame appends."""
        title, finding = escape(self.title), escape(self.finding)
        pieces = "\n".join([self.picture, *self.pieces, *again])
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
            f"<title>{title}</title>\n<style>{plots.STYLE}{STYLE}{self.style}</style>\n</head>\n"
            f'<body>\n<h1>{title}</h1>\n<p class="lead">{finding}</p>\n{pieces}\n</body>\n</html>\n'
        )


def figures(*pieces: str) -> str:
    """Figures side by side if there is room, one below the other on a phone."""
    return f'<div class="figures">{"".join(pieces)}</div>'


def step(title: str, *pieces: str, backward: bool = False) -> str:
    """One step of a computation, with an edge in the colour and the dash of its direction."""
    kind, arrow = ("step backward", "↑") if backward else ("step", "↓")
    inside = "\n".join([f"<h3>{arrow} {escape(title)}</h3>", *pieces])
    return f'<section class="{kind}">{inside}\n</section>'


def matrix(name: str, rows: Sequence[Sequence[str]]) -> str:
    """A matrix of numbers under its name; a wide one scrolls by itself."""
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    head = f"<caption>{escape(name)}</caption>"
    return f'<div class="matrix"><table>{head}<tbody>{body}</tbody></table></div>'


def matrices(*pieces: str) -> str:
    """Matrices side by side as far as there is room."""
    return f'<div class="matrices">{"".join(pieces)}</div>'
