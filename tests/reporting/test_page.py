import base64
import re
from html.parser import HTMLParser

from backhand.reporting import page as report


class Tags(HTMLParser):
    """Every tag opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "source"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    return tags


def test_a_page_is_whole_and_needs_nothing_else():
    picture = report.figure("<svg>light</svg>", "<svg>dark</svg>", "a picture")
    film = report.animation(b"light", b"dark", b"light still", b"dark still", "a film")
    pieces = [
        report.heading("h"),
        report.paragraph("p", lead=True),
        report.figures(picture),
        film,
        report.code("c"),
        report.details("more", report.table(["a", "b"], [("x", 1)])),
        report.step("s", report.matrices(report.matrix("m", [["1", "2"]])), backward=True),
    ]
    html = report.page("Title", *pieces)
    tags = parse(html)
    assert not re.findall(r'(?:src|href|srcset)="(?!data:)', html)
    names = [tag for tag, _ in tags.seen]
    assert names.count("h1") == names.count("h2") == 1
    assert names.count("img") == 2
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags.seen
    assert "prefers-color-scheme: dark" in html


def test_both_themes_of_a_figure_are_in_it():
    html = report.figure("<svg>light</svg>", "<svg>dark</svg>", "a picture")
    pictures = [base64.b64decode(data).decode() for data in re.findall(r"base64,([^\"]+)", html)]
    assert pictures == ["<svg>dark</svg>", "<svg>light</svg>"]
    assert 'alt="a picture"' in html


def test_a_film_stands_still_for_who_asks_for_it():
    tags = parse(report.animation(b"light", b"dark", b"light still", b"dark still", "a film"))
    shown = {
        attrs.get("media"): attrs.get("srcset", attrs.get("src"))
        for tag, attrs in tags.seen
        if tag in ("source", "img")
    }
    found = {
        media: (data.split(";")[0], base64.b64decode(data.split(",")[1])) for media, data in shown.items()
    }
    still, night = "(prefers-reduced-motion: reduce)", "(prefers-color-scheme: dark)"
    assert found == {  # in this order: the first that holds is shown
        f"{still} and {night}": ("data:image/png", b"dark still"),
        still: ("data:image/png", b"light still"),
        night: ("data:image/gif", b"dark"),
        None: ("data:image/gif", b"light"),
    }
    assert list(found) == [f"{still} and {night}", still, night, None]


def test_text_is_escaped_everywhere():
    evil = '<script>"&'
    for piece in (
        report.page(evil),
        report.heading(evil),
        report.paragraph(evil),
        report.code(evil),
        report.details(evil),
        report.table([evil], [[evil]]),
        report.figure("", "", evil),
        report.animation(b"", b"", b"", b"", evil),
        report.step(evil),
        report.matrix(evil, [["1"]]),
        report.matrix("m", [[evil]]),
    ):
        assert "<script>" not in piece
        assert "&lt;script&gt;" in piece


def test_numbers_are_set_as_numbers():
    html = report.table(["net", "score", "note"], [("64-10", "98%", "good"), ("9", "−1", "2 bad")])
    assert '<th>net</th><th class="number">score</th><th>note</th>' in html
    assert '<td>64-10</td><td class="number">98%</td><td>good</td>' in html


def test_steps_say_their_direction_without_colour():
    forward, backward = report.step("z", "in it"), report.step("z", "in it", backward=True)
    assert '<section class="step"><h3>↓ z</h3>' in forward
    assert '<section class="step backward"><h3>↑ z</h3>' in backward
    assert "dashed var(--backward)" in report.page("t", backward)


def test_a_matrix_keeps_its_rows():
    html = report.matrix("w, 2×2", [["1", "2"], ["3", "4"]])
    assert "<caption>w, 2×2</caption>" in html
    assert "<tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr>" in html
