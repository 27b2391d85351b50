"""What an experiment declares once and reports by one mechanism: measures, contrasts, questions.

An experiment trains nets from several seeds. A `Measure` gives one number a seed; tables, contrasts
with their intervals and the verdict under each heading follow from it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from backhand.layer import Tree
from backhand.reporting.page import Table, heading, paragraph
from backhand.reporting.statistics import Estimate, mean, mean_sd, written

UNCLEAR = "no clear difference"


class Trained(NamedTuple):
    """A net that was trained, usually from several seeds.

    Attributes:
      name: what tables and figures call it.
      params: its parameters, with an axis of seeds in front.
      history: arrays (seeds, epochs, …) by name.
      facts: what else is known of it; what differs by seed is an array (seeds,).
    """

    name: str
    params: Tree
    history: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """What is measured of a net, `of` it: a number a sample, usually a seed, in a `unit` if any.

    `worse` says which direction is worse, if either is; `form` is the format of its numbers.
    """

    name: str
    of: Callable[[Trained], np.ndarray]
    unit: str = ""
    worse: Literal["higher", "lower"] | None = None
    form: str = ".2f"

    @property
    def label(self) -> str:
        """Its name and unit, for a column or an axis."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


def table_of(
    measures: Sequence[Measure], nets: Iterable[Trained], first: str = "net",
    caption: str = "Mean ± standard deviation over seeds",
) -> Table:  # fmt: skip
    """A row a net, a column a measure: mean ± standard deviation over seeds, or other samples."""
    rows = [(net.name, *(mean_sd(m.of(net), m.form) for m in measures)) for net in nets]
    return Table((first, *(measure.label for measure in measures)), rows, caption)


class Contrast(NamedTuple):
    """By how much a measure of net b is above that of net a."""

    measure: Measure
    a: str
    b: str
    difference: Estimate

    @property
    def verdict(self) -> str:
        """Whether b is "better" or "worse", or "no clear difference".

        It is "higher" or "lower" if neither direction of the measure is worse.
        """
        if not self.difference.clear:
            return UNCLEAR
        direction = "higher" if self.difference.value > 0 else "lower"
        if self.measure.worse is None:
            return direction
        return "worse" if direction == self.measure.worse else "better"


def contrast(measure: Measure, a: Trained, b: Trained, paired: bool = False) -> Contrast:
    """The difference b − a with its 95 % interval, by Welch's t or, over pairs, by Student's.

    Nets are `paired` if their i-th seeds belong together: if they had the same data, say.
    """
    x, y = measure.of(a), measure.of(b)
    difference = mean(np.subtract(y, x)) if paired else mean(y).less(mean(x))
    return Contrast(measure, a.name, b.name, difference)


def contrast_table(contrasts: Iterable[Contrast]) -> Table:
    """A row a contrast: which measure of which nets, the verdict, the difference, its interval."""
    rows = []
    for found in contrasts:
        measure, a, b, difference = found
        ends = (difference.value, *difference.interval)
        value, low, high = (written(v, f"+{measure.form}") for v in ends)
        rows.append((measure.label, f"{a} → {b}", found.verdict, value, f"[{low}, {high}]"))
    header = ("measure", "from → to", "verdict", "difference", "95 % interval")
    return Table(header, rows, "Differences of means, with intervals by Student's t")


@dataclass(frozen=True)
class Question:
    """What a section of a report asks, and the answers that its contrasts choose from.

    Attributes:
      better, worse: the answers if every contrast is better, or higher; or every one is worse.
      unclear: the answer if no contrast is clear.
      mixed: the answer in all other cases.
      missing: what stands there if there is nothing to compare.
    """

    heading: str
    contrasts: Sequence[Contrast]
    better: str
    worse: str
    unclear: str
    mixed: str
    missing: str = "Too few nets were trained to answer this."

    @property
    def verdict(self) -> str:
        """The answer."""
        verdicts = {contrast.verdict for contrast in self.contrasts}
        if not verdicts:
            return self.missing
        if len(verdicts) > 1:
            return self.mixed
        answers = {"better": self.better, "higher": self.better, UNCLEAR: self.unclear}
        return answers.get(verdicts.pop(), self.worse)

    def html(self, *pieces: str) -> str:
        """The section: heading, answer, contrasts, and pieces."""
        compared = [contrast_table(self.contrasts).html()] if self.contrasts else []
        return "\n".join([heading(self.heading), paragraph(self.verdict), *compared, *pieces])
