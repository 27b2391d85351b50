"""An experiment's run: its command line, its folder, its receipt, and how two runs compare."""

from backhand.runs.command_line import main, print_table
from backhand.runs.comparison import Difference, diff
from backhand.runs.config import Config, PictureConfig, TrainingConfig
from backhand.runs.folder import RefusedError, Run

__all__ = [
    "Config", "Difference", "PictureConfig", "RefusedError", "Run", "TrainingConfig", "diff",
    "main", "print_table",
]  # fmt: skip
