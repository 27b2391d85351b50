"""How far a training is, for whoever watches it."""

import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np


class Progress:
    """One line on a terminal, on stderr, rewritten as work is done; nothing at all elsewhere.

    The work is one training, or `parts` of them in turn, each started by `begin`; the time left is
    that of all.
    """

    def __init__(
        self,
        epochs: int,
        label: str = "",
        parts: int = 1,
        unit: str = "epoch",
        work: Sequence[float] | None = None,
    ) -> None:
        """Start the clock.

        label: what is trained. unit: what `epochs` counts. work: about how much each part is, in
        any unit, if parts differ.
        """
        self.epochs, self.unit = epochs, unit
        self.label = f"{label}  " if label else ""
        self.parts, self.part, self.earliest = parts, 0, 0
        self.work = work or [1.0] * parts
        self.start = self.part_start = time.monotonic()
        self.first: tuple[float, float] | None = None  # of this part: epochs first shown, and when
        self.begun = False
        self.shown = sys.stderr is not None and sys.stderr.isatty()

    def begin(self, part: int, label: str, epochs: int | None = None) -> None:
        """Start part number `part`, from 0: its label, and its epochs if they differ.

        Parts before the first that begins were finished by an earlier process.
        """
        if not self.begun:
            self.begun, self.earliest = True, part
        self.epochs = epochs or self.epochs
        self.part, self.label = part, f"{part + 1}/{self.parts} {label}  "
        self.part_start, self.first = time.monotonic(), None
        self.show(0, {})

    def show(self, epochs: float, scores: Mapping[str, np.ndarray | float]) -> None:
        """Say how many epochs are done, how long the rest will take, and the scores' means."""
        if not self.shown:
            return
        if not epochs:
            self._write(f"{self.label}compiling")
            return
        figures = "  ".join(
            f"{name} {np.mean(score):.4f}" for name, score in scores.items() if np.size(score) < 100
        )
        done = f"{epochs:.0f}" if epochs == int(epochs) else f"{epochs:.1f}"
        left = self._left(epochs, time.monotonic())
        # The scores come last, since what does not fit is cut off.
        self._write(f"{self.label}{self.unit} {done}/{self.epochs}{left}  {figures}")

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _left(self, epochs: float, now: float) -> str:
        """How long this part will still take, and the parts after it, if they are like it."""
        if self.first is None:
            self.first = epochs, now  # these epochs include compiling, and say little of the others
            return ""
        if epochs == self.first[0]:
            return ""
        rest = (now - self.first[1]) / (epochs - self.first[0]) * (self.epochs - epochs)
        done, to_come = sum(self.work[self.earliest : self.part]), sum(self.work[self.part + 1 :])
        # Until one part is done, the part that runs is all there is to judge by.
        seconds, work = (
            (self.part_start - self.start, done)
            if done
            else (now - self.start + rest, self.work[self.part])
        )
        return f"  {rest + seconds / work * to_come:.0f} s left"

    def _write(self, line: str) -> None:
        # ESC[K clears the longer line before; auto-wrap is off from ESC[?7l to ESC[?7h.
        sys.stderr.write(f"\r\x1b[K\x1b[?7l{line}\x1b[?7h")
        sys.stderr.flush()
