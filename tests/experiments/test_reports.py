"""The look at a report can fail, and every experiment's tests take it."""

import re
from pathlib import Path

import pytest

from backhand import plots
from backhand.reporting import Report, Table

TESTS = Path(__file__).parent
EXPERIMENTS = TESTS.parents[1] / "experiments"
DRAWING = plots.curves({"loss": [1.0, 0.5]}, "loss", "nats")
PICTURE = DRAWING.html()
SMALL = DRAWING._replace(svg=re.sub(r"font-size: [\d.]+px", "font-size: 5px", DRAWING.svg)).html()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        ("", None),
        ('<div style="width: 700px">wide</div>', "390 px, light: scrolls sideways, by"),
        ('<img src="data:image/png;base64,AA" alt="a picture that is broken">', "broken picture"),
        ('<img src="https://example.invalid/a.png" alt="from somewhere else">', "asks the network"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>throw Error('no')</script>", "error: no"),
        (PICTURE.replace('alt="', 'alt="" title="'), "picture without words"),
        (SMALL, "type of "),
    ],
)
def test_a_fault_is_seen(tmp_path, faults, piece, fault):
    path = tmp_path / "report.html"
    path.write_text(Report("A page", "", PICTURE, [piece], Table((), [])).html())
    found = faults(path)
    if fault is None:
        assert found == []
    else:
        assert any(fault in line for line in found), found


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.py")), ids=lambda path: path.stem)
def test_every_report_is_looked_at(path):
    if re.search(r"\bReport\(", path.read_text(encoding="utf-8")):
        tests = (TESTS / f"test_{path.name}").read_text(encoding="utf-8")
        assert "faults(" in tests, "its test should open the report: assert faults(path) == []"
