"""What a user calls things stays text, wherever a run shows it."""

import base64
import csv
import html.parser
from xml.etree import ElementTree

import numpy as np

from backhand import runs
from backhand.reporting import page as report
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


def test_names_in_a_users_file_are_text_in_the_report(tmp_path, capsys):
    file = tmp_path / f"{IMAGE}{FORMULA}[b].csv"
    rng = np.random.default_rng(0)
    with file.open("w", newline="") as opened:
        lines = csv.writer(opened)
        lines.writerow([SCRIPT, IMAGE, LEAVES])
        lines.writerows([*rng.normal(i % 3, 0.1, 2), (SCRIPT, IMAGE, CONTROL)[i % 3]] for i in range(30))
    config = planar.Config(csv=file, hidden=(3,), epochs=2, seeds=1, out=tmp_path / "runs")
    run = runs.Run.start("planar", config)
    planar.run(config, run)

    assert f"{file.name}, one seed" in capsys.readouterr().out
    page = Tags((run.folder / "report.html").read_text())
    assert {"h1", "p", "img"} <= page.names
    assert not page.names & {"script", "svg", "iframe"}
    assert not {name for name in page.attributes if name.startswith("on")}
    assert all(source.startswith("data:") for source in page.pictures)
    assert IMAGE in page.text  # the file's name, as it is
    embedded = [source.partition("base64,")[2] for source in page.pictures if "svg+xml" in source]
    drawings = [base64.b64decode(content).decode() for content in embedded]
    drawings += [path.read_text() for path in (run.folder / "figures").glob("*.svg")]
    for drawing in drawings:
        elements = list(ElementTree.fromstring(drawing).iter())
        assert not {e.tag.split("}")[-1] for e in elements} & {"script", "img", "foreignObject"}
        assert not {name for e in elements for name in e.attrib if name.startswith("on")}
    assert any(SCRIPT[:10] in "".join(ElementTree.fromstring(drawing).itertext()) for drawing in drawings)


def test_every_piece_of_a_report_takes_words_as_text():
    nasty = SCRIPT + IMAGE + LEAVES
    pieces = [
        report.heading(nasty),
        report.paragraph(nasty),
        report.code(nasty),
        report.details(nasty),
        report.table([nasty, "b"], [[nasty, nasty]]),
        report.figure("<svg/>", "<svg/>", nasty),
        report.animation(b"", b"", b"", b"", nasty),
        report.step(nasty),
        report.matrix(nasty, [[nasty]]),
    ]
    for piece in (*pieces, report.page(nasty)):
        tags = Tags(piece.partition("</head>")[2] or piece)
        assert "script" not in tags.names
        assert "svg" not in tags.names
        assert not {name for name in tags.attributes if name.startswith("on")}
        assert nasty in tags.text
