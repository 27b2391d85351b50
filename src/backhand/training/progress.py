"""How far training is, for whoever watches it."""

import sys
import time
from collections.abc import Mapping, Sequence


class Progress:
    """One line on a terminal, on stderr, rewritten as work goes on; nothing at all elsewhere.

    The work is one training of so many epochs, or `parts` of them, one after the other, each begun by
    `begin`; the time left is that for all.
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

        `label` says what is being trained, where several things are, and `unit` what is counted; `work` is about how
        much each part is, in any unit, where parts differ.
        """
        self.epochs = epochs
        self.unit = unit
        self.label = f"{label}  " if label else ""
        self.parts, self.part, self.earliest = parts, 0, 0
        self.work = work or [1.0] * parts
        self.start = self.part_start = time.monotonic()
        self.first: tuple[int, float] | None = None  # the first epoch shown of this part, and when
        self.begun = False
        self.shown = sys.stderr.isatty()

    def begin(self, part: int, label: str, epochs: int | None = None) -> None:
        """Say that part number `part`, from 0, starts now, what it trains, and for how many epochs if not as before.

        Parts before the first begun were done at another time.
        """
        if not self.begun:
            self.begun, self.earliest = True, part
        self.epochs = epochs or self.epochs
        self.part, self.label = part, f"{part + 1}/{self.parts} {label}  "
        self.part_start, self.first = time.monotonic(), None
        self._write(f"{self.label}compiling")

    def show(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Say that `epoch` is done, with these scores, and how long the rest will take."""
        figures = "  ".join(f"{name} {score:.4f}" for name, score in scores.items())
        left = self._left(epoch, time.monotonic())
        # The scores come last, as what doesn't fit is cut off.
        self._write(f"{self.label}{self.unit} {epoch}/{self.epochs}{left}  {figures}")

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _left(self, epoch: int, now: float) -> str:
        """How long the rest of this part will take, and the parts to come, if they are like those before."""
        if self.first is None:
            self.first = epoch, now  # these epochs came with compiling, and say little of the others
            return ""
        rest = (now - self.first[1]) / (epoch - self.first[0]) * (self.epochs - epoch)
        done, to_come = sum(self.work[self.earliest : self.part]), sum(self.work[self.part + 1 :])
        # The part that runs is all there is to go by until one is done.
        seconds, work = (
            (self.part_start - self.start, done) if done else (now - self.start + rest, self.work[self.part])
        )
        return f"  {rest + seconds / work * to_come:.0f} s left"

    def _write(self, line: str) -> None:
        # ESC[K clears what a longer line left; auto-wrap is off between ESC[?7l and ESC[?7h, so one line stays one.
        if self.shown:
            sys.stderr.write(f"\r\x1b[K\x1b[?7l{line}\x1b[?7h")
            sys.stderr.flush()
