"""The look at a report can fail, and every experiment's tests take it."""

import re
from pathlib import Path

import pytest

from backhand import plots
from backhand.reporting import page as report

TESTS = Path(__file__).parent
EXPERIMENTS = TESTS.parents[1] / "experiments"
PICTURE = report.figure(*plots.curves({"loss": [1.0, 0.5]}, "loss", "nats"))
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="400pt" height="9pt"><text style="font: 5px x">a</text></svg>'


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        ("", None),
        ('<div style="width: 700px">wide</div>', "390 px, light: scrolls sideways, by"),
        ('<img src="data:image/png;base64,AA" alt="a picture that is broken">', "broken picture"),
        ('<img src="https://example.invalid/a.png" alt="a picture from elsewhere">', "asks the network"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>throw Error('no')</script>", "error: no"),
        (PICTURE.replace('alt="', 'alt="" title="'), "picture without words"),
        (report.figure(SVG, SVG, "a picture with words too small"), "type of 4"),
    ],
)
def test_a_fault_is_seen(tmp_path, faults, piece, fault):
    path = tmp_path / "report.html"
    path.write_text(report.page("A page", PICTURE, piece))
    found = faults(path)
    if fault is None:
        assert found == []
    else:
        assert any(fault in line for line in found), found


def test_every_report_is_looked_at():
    for path in EXPERIMENTS.glob("*.py"):
        if re.search(r"report\.page|write_report", path.read_text(encoding="utf-8")):
            tests = (TESTS / f"test_{path.name}").read_text(encoding="utf-8")
            assert "faults(" in tests, f"test_{path.name} should open its report: assert faults(path) == []"
