"""A user's own labelled points in the plane, from a CSV file."""

import csv
import io
import math
from collections import Counter
from pathlib import Path

import numpy as np

from backhand.data.dataset import Dataset
from backhand.data.points import LEAST, split

COLUMNS = ("x1", "x2", "label")


def read_points(path: str | Path, seed: int = 0) -> Dataset:
    """The labelled points of a CSV file, 80 % to train and 20 % to validate, stratified by `seed`.

    A line a point, its values separated by commas, in UTF-8. With a first line of names, the
    columns called x1, x2 and label are read or, if none has such a name, all three there are, in
    that order. Without names there are three columns. A label is any word or number; classes are in
    the order of the numbers, or else of the alphabet. Blank lines are passed over.

    x (points, 2) is float64: points far from 0 may differ by little; y (points,)
    int32; `feature_names` are the columns' names. Raises OSError if the file can't be read, and
    ValueError, with the line's number and what was found in it, if it is not text, a column is
    missing, a line has too few or too many values, a coordinate is not a finite number, a label is
    empty, there is only one class, or a class has fewer than 5 points.
    """
    lines = _lines(path)
    first = lines[0][1]
    named = not any(_is_number(cell) for cell in first[:2])
    columns, names = _columns(path, first) if named else ((0, 1, 2), COLUMNS)
    width = len(first) if named else 3
    points, words = [], []
    for number, row in lines[named:]:
        where = f"{path}, line {number}"
        if len(row) != width:
            got = f"got {len(row)}: {','.join(row)!r}"
            raise ValueError(f"{where} should have {width} values, {got}")
        *coordinates, word = (row[column] for column in columns)
        for name, cell in zip(names, coordinates, strict=False):
            if not _is_finite(cell) or abs(float(cell)) > 1e30:  # its square is a number, too
                wanted = "a finite number, and at most 1e30 in size"
                raise ValueError(f"{where}: {name} should be {wanted}, got {cell!r}")
        if not word:
            raise ValueError(f"{where}: {names[2]} is empty")
        points.append([float(cell) for cell in coordinates])
        words.append(word)

    counts = Counter(words)
    if len(counts) < 2:
        found = f"all {len(words)} points are {words[0]!r}" if words else "there are no points"
        raise ValueError(f"{path} should have points of at least two classes, but {found}")
    rarest = min(counts, key=counts.__getitem__)
    if counts[rarest] < LEAST:
        raise ValueError(
            f"{path} should have at least {LEAST} points of each class, to train and to validate, "
            f"but has {counts[rarest]} of {rarest!r}"
        )
    in_order = sorted(counts, key=float if all(map(_is_finite, counts)) else str)
    y = np.array([in_order.index(word) for word in words])
    return split(Path(path).stem, np.array(points), y, in_order, seed, names[:2])


def _lines(path: str | Path) -> list[tuple[int, list[str]]]:
    """The lines with something on them: their numbers, and their cells."""
    content = Path(path).read_bytes()
    try:
        text = content.decode().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")  # Excel puts it first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: should be text in UTF-8, but is not") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _columns(path: str | Path, header: list[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which columns hold x1, x2 and the label, and what the file calls them."""
    if len(header) == 3 and not set(COLUMNS) & set(header):
        return (0, 1, 2), tuple(header)
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(
            f"{path}, line 1: should name, between commas, the columns x1, x2 and label, or any "
            f"three in this order; missing {', '.join(missing)} in {','.join(header)!r}"
        )
    return tuple(map(header.index, COLUMNS)), COLUMNS


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_finite(cell: str) -> bool:
    return _is_number(cell) and math.isfinite(float(cell))
