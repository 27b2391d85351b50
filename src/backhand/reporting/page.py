"""A run's report: one HTML page with everything in it, for a phone, a desk, and a dark room.

Each function returns a piece of HTML; `page` puts the pieces together. All text is escaped here, and
nowhere else.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1c2127; --faint: #5c6670; --page: #fdfdfb; --line: #d9dcd8;
  --panel: #f3f4f0; --forward: #0072B2; --backward: #D55E00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e5e8; --faint: #a0a8b0; --page: #14171a; --line: #33393f; --panel: #1c2024;
    --forward: #56B4E9; --backward: #E69F00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0 0 .25rem; }
p { max-width: 46rem; margin: .5rem 0; }
.lead { font-size: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th, td:first-child { white-space: nowrap; overflow-wrap: normal; }
th { font-weight: 600; color: var(--faint); font-size: .875rem; vertical-align: bottom; }
td:not(.number):not(:first-child) { min-width: 6.5rem; }
th.number, td.number { text-align: right; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
figure { margin: .5rem 0; }
figure:only-child { max-width: 38rem; }
figure img { display: block; width: 100%; height: auto; }
figure.film img { width: auto; max-width: 100%; }
.step { border-left: .25rem solid var(--forward); padding-left: 1rem; margin: 1.5rem 0; }
.step.backward { border-left: .25rem dashed var(--backward); }
.matrices { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; margin: .75rem 0; }
.matrix { max-width: 100%; overflow-x: auto; }
.matrix table { margin: 0; border: solid var(--faint); border-width: 0 2px; border-radius: .5rem; }
.matrix caption { text-align: left; white-space: nowrap; color: var(--faint); font-size: .875rem; }
.matrix td { border: 0; padding: .05rem .6rem; text-align: right; white-space: nowrap; }
pre { background: var(--panel); padding: .75rem 1rem; overflow-x: auto; border-radius: .375rem; }
summary { cursor: pointer; color: var(--faint); }
"""


def page(title: str, *pieces: str, style: str = "") -> str:
    """The whole page; `style` is CSS for pieces that need more than there is."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(pieces)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, lead: bool = False) -> str:
    """A paragraph; the lead is the one under the title."""
    kind = ' class="lead"' if lead else ""
    return f"<p{kind}>{escape(text)}</p>"


def code(text: str) -> str:
    """A command, or some lines of a program."""
    return f"<pre><code>{escape(text)}</code></pre>"


def details(summary: str, *pieces: str) -> str:
    """Pieces folded away under a line that opens them."""
    return f"<details><summary>{escape(summary)}</summary>\n" + "\n".join(pieces) + "\n</details>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; columns after the first whose cells all begin like numbers are set as numbers."""
    body = [[str(cell) for cell in row] for row in rows]
    number = [i > 0 and all(_is_number(row[i]) for row in body) for i in range(len(header))]

    def line(tag: str, cells: Sequence[str]) -> str:
        kinds = [' class="number"' if is_number else "" for is_number in number]
        return "".join(
            f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)
        )

    head = f"<thead><tr>{line('th', header)}</tr></thead>"
    rest = "".join(f"<tr>{line('td', row)}</tr>\n" for row in body)
    return f'<div class="wide"><table>{head}\n<tbody>{rest}</tbody></table></div>'


def _is_number(cell: str) -> bool:
    return cell[:1] in "0123456789+−-–∞" or cell.startswith("NaN")


def figure(light: str, dark: str, alt: str) -> str:
    """A picture, as SVG in a light and a dark theme, embedded; the reader's screen picks one."""
    light, dark = (base64.b64encode(svg.encode()).decode() for svg in (light, dark))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="data:image/svg+xml;base64,{dark}">'
        f'<img src="data:image/svg+xml;base64,{light}" alt="{escape(alt)}"></picture></figure>'
    )


def animation(light: bytes, dark: bytes, light_still: bytes, dark_still: bytes, alt: str) -> str:
    """A GIF in a light and a dark theme, embedded; the PNG stands for it where the reader asks for less motion."""
    still, moving = (
        [f"data:image/{kind};base64,{base64.b64encode(picture).decode()}" for picture in pictures]
        for kind, pictures in (("png", (light_still, dark_still)), ("gif", (light, dark)))
    )
    reduced, night = "(prefers-reduced-motion: reduce)", "(prefers-color-scheme: dark)"
    sources = {f"{reduced} and {night}": still[1], reduced: still[0], night: moving[1]}
    return (
        '<figure class="film"><picture>'
        + "".join(f'<source media="{media}" srcset="{data}">' for media, data in sources.items())
        + f'<img src="{moving[0]}" alt="{escape(alt)}"></picture></figure>'
    )


def figures(*pieces: str) -> str:
    """Figures side by side where there is room, one below the other on a phone."""
    return f'<div class="figures">{"".join(pieces)}</div>'


def step(title: str, *pieces: str, backward: bool = False) -> str:
    """One step of a computation, with an edge in the colour and the dash of its direction."""
    kind, arrow = ("step backward", "↑") if backward else ("step", "↓")
    return f'<section class="{kind}"><h3>{arrow} {escape(title)}</h3>\n' + "\n".join(pieces) + "\n</section>"


def matrix(name: str, rows: Sequence[Sequence[str]]) -> str:
    """A matrix of numbers, its name above it; too wide, it scrolls by itself."""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="matrix"><table><caption>{escape(name)}</caption><tbody>{body}</tbody></table></div>'


def matrices(*pieces: str) -> str:
    """Matrices side by side as far as there is room."""
    return f'<div class="matrices">{"".join(pieces)}</div>'
