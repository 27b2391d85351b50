"""An experiment carried out by the frame, as from the command line, in this process."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backhand import runs


class Done(NamedTuple):
    """A run's folder, and the status that it ended with."""

    folder: Path
    status: int

    @property
    def results(self) -> Any:
        return json.loads((self.folder / "results.json").read_text())

    @property
    def html(self) -> str:
        return (self.folder / "report.html").read_text()


def carry_out(experiment: Any, out: Path, *flags: object) -> Done:
    """Run an experiment with flags; its folder is made under `out`."""
    name, status = experiment.__name__.rpartition(".")[2], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", "--out", str(out), *map(str, flags)])
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        load, config = getattr(experiment, "load", None), experiment.Config
        try:
            runs.main(config, experiment.train, experiment.report, load=load, description="")
        except SystemExit as stop:
            status = int(stop.code or 0)
    (folder,) = (out / name).iterdir()
    return Done(folder, status)


def report_of(experiment: Any, out: Path, **kept: dict[str, Any]) -> Any:
    """The report of a run that kept these facts by name."""
    config = experiment.Config(out=out)
    run = runs.Run.start("made-up", config)
    for name, facts in kept.items():
        run.keep(name, **facts)
    report = experiment.report(config, run, *([None] if hasattr(experiment, "load") else []))
    run.finish("finished", 0.0)
    return report
