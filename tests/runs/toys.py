"""A toy experiment's config, and what a folder holds."""

from dataclasses import dataclass
from pathlib import Path

from backhand import runs


@dataclass(frozen=True)
class Config(runs.TrainingConfig):
    hidden: tuple[int, ...] = (4, 2)
    compare: bool = False
    csv: Path | None = None

    def __post_init__(self):
        super().__post_init__()
        if len(self.hidden) > 3:
            raise ValueError("config: hidden should be 3 widths at most")


def files(folder: Path) -> dict[str, bytes]:
    """The files in a folder, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
