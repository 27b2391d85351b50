import base64
import re
from html.parser import HTMLParser

import pytest

from backhand import plots, reporting
from backhand.reporting.page import matrices, matrix, step


def whole(title, *pieces, style=""):
    return reporting.Report(title, "", "", pieces, reporting.Table((), []), style).html()


class Tags(HTMLParser):
    """Every tag opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags(html):
    parser = Tags()
    parser.feed(html)
    assert not parser.open
    return parser.seen


def test_a_page_is_whole_and_needs_nothing_else():
    pieces = [
        reporting.heading("h"),
        reporting.paragraph("p"),
        reporting.figures(plots.Drawing("<svg></svg>", "a picture").html()),
        reporting.code("c"),
        reporting.details("more", reporting.Table(["a", "b"], [("x", 1)], "caption").html()),
        step("s", matrices(matrix("m", [["1", "2"]])), backward=True),
    ]
    html = whole("Title", *pieces, style=".more { color: red }")
    seen = tags(html)
    assert not re.findall(r'(?:src|href|srcset)="(?!data:)', html)
    names = [tag for tag, _ in seen]
    assert names.count("h1") == names.count("h2") == names.count("img") == 1
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert ("meta", viewport) in seen
    assert ".more { color: red }" in html


def test_page_and_pictures_have_one_theme():
    """Every variable of the page's CSS has a value by day and one by night."""
    css = re.search("(?s)<style>(.*?)</style>", whole("t"))[1]
    assert plots.STYLE in css
    used = set(re.findall(r"var\(--([\w-]+)\)", css))
    given = re.findall(r"--([\w-]+):", css)
    assert all(given.count(name) == 2 for name in used)
    assert css.count("prefers-color-scheme: dark") == 2


def test_text_is_escaped_everywhere():
    evil = '<script>"&'
    for piece in (
        whole(evil),
        reporting.heading(evil),
        reporting.paragraph(evil),
        reporting.code(evil),
        reporting.details(evil),
        reporting.Table([evil], [[evil]], evil).html(),
        plots.Drawing("", evil).html(),
        step(evil),
        matrix(evil, [["1"]]),
        matrix("m", [[evil]]),
    ):
        assert "<script>" not in piece
        assert "&lt;script&gt;" in piece


def test_columns_of_numbers_are_set_as_numbers():
    rows = [("64-10", "98%", "[−1, +2]", "good", ""), ("9", "−1", "NaN", "2 layers", "3 ms")]
    html = reporting.Table(["net", "score", "interval", "note", "time"], rows).html()
    kinds = [attrs.get("class") for tag, attrs in tags(html) if tag == "th"]
    assert kinds == [None, "number", "number", None, "number"]
    assert '<td>9</td><td class="number">−1</td>' in html


@pytest.mark.parametrize(("rows", "folded"), [(8, False), (9, True)])
def test_a_long_table_is_folded_under_its_caption(rows, folded):
    html = reporting.Table(["a"], [["1"]] * rows, "The caption").html()
    tags(html)
    assert html.startswith("<details><summary>The caption") == folded
    assert html.count("The caption") == 1
    assert "<details>" not in reporting.Table(["a"], [["1"]] * rows).html(rows)


def test_steps_tell_their_direction_without_colour():
    forward, backward = step("z", "in it"), step("z", "in it", backward=True)
    assert '<section class="step"><h3>↓ z</h3>' in forward
    assert '<section class="step backward"><h3>↑ z</h3>' in backward
    assert "dashed var(--red)" in whole("t", backward)


def test_a_matrix_keeps_its_rows():
    html = matrix("w, 2×2", [["1", "2"], ["3", "4"]])
    assert "<caption>w, 2×2</caption>" in html
    assert "<tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr>" in html


def test_a_report_opens_with_its_finding_and_its_picture():
    picture = plots.Drawing("<svg></svg>", "a picture").html(wide=True)
    report = reporting.Report(
        "A title", "It learns.", picture, ["<p>pieces</p>"], reporting.Table(["a"], []), ".x { }"
    )
    html = report.html("<p>again</p>")
    tags(html)
    order = ["A title</h1>", "It learns.", "<figure", "<p>pieces</p>", "<p>again</p>"]
    assert sorted(order, key=html.index) == order
    assert '<p class="lead">It learns.</p>' in html
    assert base64.b64encode(b"<svg></svg>").decode() in html
    assert ".x { }" in html
