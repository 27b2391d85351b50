"""What a check found, as a person would say it."""

from typing import NamedTuple

from backhand.verify.diagnosis import Diagnosis


class Check(NamedTuple):
    """One thing that was checked: its figure beside its tolerance, and what stands out."""

    name: str
    figure: float
    tolerance: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the figure is within the tolerance; NaN is not."""
        return self.figure <= self.tolerance

    @property
    def share(self) -> float:
        """The figure as a share of the tolerance; if that is 0, 0 or inf."""
        if self.tolerance:
            return self.figure / self.tolerance
        return 0.0 if self.ok else float("inf")

    def __str__(self) -> str:
        mark, sign = ("✓", "≤") if self.ok else ("✗", ">")
        line = f"  {mark} {self.name:<34} {self.figure:8.1e} {sign} {self.tolerance:.1e}"
        return line if self.ok or not self.detail else f"{line}   {self.detail}"


class Report(NamedTuple):
    """All checks of one backward pass. `report.ok` is the verdict, `str(report)` the story."""

    subject: str
    checks: tuple[Check, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        lines = [f"backward of {self.subject}: {'right' if self.ok else 'WRONG'}"]
        lines += [f"  → {diagnosis.text}" for diagnosis in self.diagnoses]
        lines += map(str, self.checks)
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class BackwardError(AssertionError):
    """A backward pass is wrong; `.report` says how."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"\n{report}")
        self.report = report
