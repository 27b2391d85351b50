import numpy as np
import pytest

from backhand.data import read_points

ROWS = [(i, i / 10, "far" if i % 2 else "near") for i in range(10, 30)]


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "mine.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def lines(rows=ROWS, header=None):
    return (
        "\n".join(",".join(map(str, row)) for row in ([header] if header else []) + list(rows))
        + "\n"
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (lines(header=("x1", "x2", "label")), ("x1", "x2")),
        (lines(header=("size (mm)", "weight (g)", "kind")), ("size (mm)", "weight (g)")),
        (lines(), ("x1", "x2")),
        (
            lines([(c, "?", b, a) for a, b, c in ROWS], header=("label", "note", "x2", "x1")),
            ("x1", "x2"),
        ),
        ("\ufeff" + lines(header=("x1", " x2", "label ")).replace("\n", "\r\n\r\n"), ("x1", "x2")),
    ],
)
def test_columns_by_name_or_in_order(file, text, names):
    points = read_points(file(text), seed=1)
    assert points.name == "mine"
    assert points.feature_names == names
    assert points.class_names == ("far", "near")
    assert [len(split.y) for split in points.splits.values()] == [16, 4]
    rows = [
        (*map(float, x), points.class_names[y])
        for split in points.splits.values()
        for x, y in zip(*split, strict=True)
    ]
    assert sorted(rows) == ROWS
    assert points["train"].x.dtype == np.float64
    assert read_points(file(text), seed=2).sha256 != points.sha256


def test_labels_that_are_numbers_keep_their_order(file):
    points = read_points(file(lines((i, i, (10, 9, -1)[i % 3]) for i in range(30))))
    assert points.class_names == ("-1", "9", "10")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "mine.csv is empty"),
        ("x1,x2,label\n", "at least two classes, but there are no points"),
        ("x1,x2,label\n1,2,a\n\n1,two,b\n", "line 4: x2 should be a finite number, .* got 'two'"),
        ("1,2,a\nnan,2,b\n", "line 2: x1 should be a finite number, .* got 'nan'"),
        ("1,2,a\n1,-inf,b\n", "line 2: x2 should be a finite number, .* got '-inf'"),
        ("1,2,a\n1,1e31,b\n", "at most 1e30 in size, got '1e31'"),
        ("x1,x2,label\n1,2,a\n1,2\n", "line 3 should have 3 values, got 2: '1,2'"),
        ("1,2\n", "line 1 should have 3 values, got 2: '1,2'"),
        ("x1,x2,label\n1,2,\n", "line 2: label is empty"),
        ("x1,label\n1,a\n", "line 1: should name.* missing x2 in 'x1,label'"),
        ("x1;x2;label\n1;2;a\n", "between commas, .* missing x1, x2, label in 'x1;x2;label'"),
        ("a,b,c,d\n1,2,3,4\n", "missing x1, x2, label in 'a,b,c,d'"),
        ("1,2,a\n" * 9, "at least two classes, but all 9 points are 'a'"),
        ("1,2,a\n" * 9 + "1,2,b\n" * 4, "at least 5 points of each class, .* but has 4 of 'b'"),
        (b"1,2,tea\n" * 9000 + b"1,2,caf\xe9\n", "line 9001: should be text in UTF-8, but is not"),
        ('1,2,"a\n', "line 1: not CSV: unexpected end of data"),
    ],
)
def test_a_file_that_will_not_do(file, text, says):
    with pytest.raises(ValueError, match=says):
        read_points(file(text))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_points(tmp_path / "none.csv")
