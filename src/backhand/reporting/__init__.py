"""What is reported of a run: measures and contrasts, statistics, timing, and the page."""

from backhand.reporting.measures import (
    Contrast,
    Measure,
    Question,
    Trained,
    contrast,
    contrast_table,
    table_of,
)
from backhand.reporting.page import Report, Table, code, details, figures, heading, paragraph
from backhand.reporting.statistics import Estimate, written
from backhand.reporting.timing import interleaved, ratio

__all__ = [
    "Contrast", "Estimate", "Measure", "Question", "Report", "Table", "Trained", "code", "contrast",
    "contrast_table", "details", "figures", "heading", "interleaved", "paragraph", "ratio",
    "table_of", "written",
]  # fmt: skip
