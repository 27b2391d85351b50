"""What is reported of a run: measures and contrasts, statistics, timing, and the page."""

from backhand.reporting.measures import (
    Contrast,
    Measure,
    Question,
    Report,
    Table,
    Trained,
    contrast,
    contrast_table,
    table_of,
)
from backhand.reporting.page import (
    code,
    details,
    figures,
    heading,
    matrices,
    matrix,
    page,
    paragraph,
    step,
)
from backhand.reporting.statistics import Estimate, less, mean, mean_sd, written
from backhand.reporting.timing import interleaved, ratio

__all__ = [
    "Contrast", "Estimate", "Measure", "Question", "Report", "Table", "Trained", "code",
    "contrast", "contrast_table", "details", "figures", "heading",
    "interleaved", "less", "matrices", "matrix", "mean", "mean_sd", "page", "paragraph",
    "ratio", "step", "table_of", "written",
]  # fmt: skip
