"""What is reported of a run: measures and contrasts, statistics, timing, and the page."""

from backhand.reporting.measures import (
    Contrast,
    Measure,
    Question,
    Report,
    Table,
    Trained,
    by_epoch,
    contrast,
    contrast_table,
    curve_of,
    over,
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
    "Contrast", "Estimate", "Measure", "Question", "Report", "Table", "Trained", "by_epoch", "code",
    "contrast", "contrast_table", "curve_of", "details", "figures", "heading",
    "interleaved", "less", "matrices", "matrix", "mean", "mean_sd", "over", "page", "paragraph",
    "ratio", "step", "table_of", "written",
]  # fmt: skip
