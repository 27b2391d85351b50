"""How far training is, for whoever watches it."""

import sys
import time
from collections.abc import Mapping


class Progress:
    """One line on a terminal, on stderr, rewritten as work goes on; nothing at all elsewhere."""

    def __init__(self, epochs: int, label: str = "", unit: str = "epoch") -> None:
        """Start the clock; `label` says what is being trained, where several things are, and `unit` what is counted."""
        self.epochs = epochs
        self.unit = unit
        self.label = f"{label}  " if label else ""
        self.start = time.monotonic()
        self.shown = sys.stderr.isatty()

    def show(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Say that `epoch` is done, with these scores, and how long the rest will take."""
        if not self.shown:
            return
        left = (time.monotonic() - self.start) / epoch * (self.epochs - epoch)
        figures = "  ".join(f"{name} {score:.4f}" for name, score in scores.items())
        line = f"{self.label}{self.unit} {epoch}/{self.epochs}  {figures}  {left:.0f} s left"
        # ESC[K clears what a longer line left; auto-wrap is off between ESC[?7l and ESC[?7h, so one line stays one.
        sys.stderr.write(f"\r\x1b[K\x1b[?7l{line}\x1b[?7h")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
