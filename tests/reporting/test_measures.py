import numpy as np
import pytest

from backhand.reporting import (
    Contrast,
    Estimate,
    Measure,
    Question,
    Trained,
    contrast,
    contrast_table,
    table_of,
)

ERROR = Measure("test error", lambda net: net.facts["error"], "%", worse="higher", form=".1f")
UPS = Measure("ups", lambda net: net.facts["error"], worse="lower")
SIZE = Measure("size", lambda net: net.facts["error"])
ANSWERS = {"better": "Yes.", "worse": "No.", "unclear": "Perhaps.", "mixed": "It depends."}


def net(name, *error):
    return Trained(name, (), {}, {"error": np.array(error)})


LOW, MIDDLE, HIGH = net("low", 1, 2, 3), net("middle", 2, 3, 4.5), net("high", 11, 12, 13)


def test_a_table_of_measures():
    table = table_of([ERROR, SIZE], iter([LOW, net("once", 7)]), "row")
    assert table.header == ("row", "test error, %", "size")
    assert table.rows == [("low", "2.0 ± 1.0", "2.00 ± 1.00"), ("once", "7.0", "7.00")]
    assert table.caption


@pytest.mark.parametrize(
    ("measure", "a", "b", "verdict"),
    [
        (ERROR, LOW, HIGH, "worse"),
        (ERROR, HIGH, LOW, "better"),
        (UPS, LOW, HIGH, "better"),
        (UPS, HIGH, LOW, "worse"),
        (SIZE, LOW, HIGH, "higher"),
        (SIZE, HIGH, LOW, "lower"),
        (ERROR, LOW, MIDDLE, "no clear difference"),
        (ERROR, net("once", 1), net("once more", 5), "no clear difference"),
        (ERROR, LOW, net("lost", np.nan, 1, 2), "no clear difference"),
    ],
)
def test_a_contrast_has_a_verdict(measure, a, b, verdict):
    found = contrast(measure, a, b)
    assert (found.a, found.b, found.verdict) == (a.name, b.name, verdict)


def test_pairs_tell_more_than_independent_seeds():
    assert contrast(ERROR, LOW, MIDDLE, paired=True).verdict == "worse"
    assert contrast(ERROR, LOW, MIDDLE, paired=True).difference.value == pytest.approx(3.5 / 3)


def test_a_table_of_contrasts():
    table = contrast_table([Contrast(ERROR, "a", "b", Estimate(-2.0, 0.5))])
    assert table.rows == [("test error, %", "a → b", "better", "−2.0", "[−3.0, −1.0]")]
    assert len(table.header) == 5


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        ([(HIGH, LOW), (HIGH, MIDDLE)], "Yes."),
        ([(LOW, HIGH)], "No."),
        ([(LOW, MIDDLE), (MIDDLE, LOW)], "Perhaps."),
        ([(LOW, HIGH), (HIGH, LOW)], "It depends."),
        ([(HIGH, LOW), (LOW, MIDDLE)], "It depends."),
        ([], "Too few nets were trained to answer this."),
    ],
)
def test_a_question_is_answered_by_a_fixed_sentence(pairs, answer):
    question = Question("Is it?", [contrast(ERROR, a, b) for a, b in pairs], **ANSWERS)
    assert question.verdict == answer
    html = question.html("<p>a piece</p>")
    assert html.startswith(f"<h2>Is it?</h2>\n<p>{answer}</p>\n")
    assert html.endswith("<p>a piece</p>")
    assert html.count("<tr>") == (len(pairs) + 1 if pairs else 0)


def test_higher_and_lower_are_answered_as_better_and_worse():
    assert Question("?", [contrast(SIZE, LOW, HIGH)], **ANSWERS).verdict == "Yes."
    assert Question("?", [contrast(SIZE, HIGH, LOW)], **ANSWERS).verdict == "No."
