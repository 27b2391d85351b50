"""A run's folder, its receipt, and the command line of an experiment that makes one."""

from backhand.runs.command_line import main, print_table
from backhand.runs.run import ExperimentConfig, FolderError, RefusedError, Run, command, refusing

__all__ = [
    "ExperimentConfig",
    "FolderError",
    "RefusedError",
    "Run",
    "command",
    "main",
    "print_table",
    "refusing",
]
