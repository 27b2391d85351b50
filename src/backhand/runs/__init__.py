"""A run's folder, its receipt, and the command line of an experiment that makes one."""

from backhand.runs.command_line import main, print_table
from backhand.runs.comparison import Difference, diff
from backhand.runs.folder import ExperimentConfig, FolderError, RefusedError, Run, command, refusing

__all__ = [
    "Difference",
    "ExperimentConfig",
    "FolderError",
    "RefusedError",
    "Run",
    "command",
    "diff",
    "main",
    "print_table",
    "refusing",
]
