"""The names that a user gives things stay text, wherever a report shows them."""

import base64
import csv
import html.parser
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from backhand import runs
from backhand.plots.drawing import Drawing
from backhand.reporting import Report, Table, code, details, heading, paragraph
from backhand.reporting.page import matrix, step
from experiments import planar

SCRIPT, IMAGE, LEAVES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "--></style><svg onload=alert(1)>",
)
FORMULA, CONTROL = r"$\bad{$", "\x01\x1b"


class Tags(html.parser.HTMLParser):
    """Every element of a page, and what text there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.pictures: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.pictures += [value for name, value in attrs if name in ("src", "srcset")]
        self.text += "".join(value for name, value in attrs if name == "alt")

    def handle_data(self, data):
        self.text += data


@pytest.mark.slow
def test_names_in_a_users_file_are_text_in_the_report(tmp_path, monkeypatch, capsys):
    file = tmp_path / f"{IMAGE}{FORMULA}[b].csv"
    rng = np.random.default_rng(0)
    with file.open("w", newline="") as opened:
        lines = csv.writer(opened)
        lines.writerow([SCRIPT, IMAGE, LEAVES])
        names = (SCRIPT, IMAGE, CONTROL)
        lines.writerows([*rng.normal(i % 3, 0.1, 2), names[i % 3]] for i in range(30))
    flags = ["--hidden", "3", "--epochs", "2", "--seeds", "1"]
    monkeypatch.setattr(
        sys, "argv", ["planar.py", f"--csv={file}", f"--out={tmp_path / 'runs'}", *flags]
    )
    runs.main(planar.Config, planar.train, planar.report, load=planar.load, description="")
    (folder,) = (tmp_path / "runs" / "planar").iterdir()
    tags = Tags((folder / "report.html").read_text())
    assert {"h1", "p", "img"} <= tags.names
    assert not tags.names & {"script", "svg", "iframe"}
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert all(source.startswith("data:") for source in tags.pictures)
    assert IMAGE in tags.text  # the file's name, as it is
    embedded = [source.partition("base64,")[2] for source in tags.pictures if "svg+xml" in source]
    drawings = [base64.b64decode(content).decode() for content in embedded]
    drawings += [path.read_text() for path in (folder / "figures").glob("*.svg")]
    for drawing in drawings:
        elements = list(ElementTree.fromstring(drawing).iter())
        kinds = {e.tag.split("}")[-1] for e in elements}
        assert not kinds & {"script", "img", "foreignObject"}
        assert not {name for e in elements for name in e.attrib if name.startswith("on")}
    texts = ["".join(ElementTree.fromstring(drawing).itertext()) for drawing in drawings]
    assert any(SCRIPT[:10] in text for text in texts)


def test_every_piece_of_a_report_takes_words_as_text():
    nasty = SCRIPT + IMAGE + LEAVES
    pieces = [
        heading(nasty),
        paragraph(nasty),
        code(nasty),
        details(nasty),
        Table((nasty, "b"), [(nasty, nasty)], nasty).html(),
        step(nasty),
        matrix(nasty, [[nasty]]),
        Drawing("<svg/>", nasty).html(),
        Table((nasty,), [(nasty,)] * 99, nasty).html(),
        Report(nasty, nasty, "", [], Table((), [])).html(),
    ]
    for piece in pieces:
        tags = Tags(piece.partition("</head>")[2] or piece)
        assert "script" not in tags.names
        assert "svg" not in tags.names
        assert not {name for name in tags.attributes if name.startswith("on")}
        assert nasty in tags.text
