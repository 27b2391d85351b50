"""A toy experiment carried out by `main`, in this process."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backhand import runs
from tests.runs.toys import Config


@dataclass
class Ended:
    """How a run ended; `error` is what came out of `main`, if it did not exit."""

    status: int = 0
    out: str = ""
    err: str = ""
    error: BaseException | None = None
    made: list[runs.Run] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.made[0].folder

    @property
    def receipt(self) -> Any:
        return json.loads((self.folder / "receipt.json").read_text())


@pytest.fixture
def toy(tmp_path, monkeypatch, capsys):
    """A function that runs toy.py with some flags and `train(run)`, and says how it ended."""

    def carry_out(train=lambda run: None, *flags, config_type=Config, **options):
        monkeypatch.setattr(sys, "argv", ["toy.py", "--out", f"{tmp_path}/out", *map(str, flags)])
        ended = Ended()

        def trained(config, run, *data):
            assert config is run.config
            ended.made.append(run)
            train(run, *data)

        try:
            runs.main(config_type, trained, description="A toy.", **options)
        except SystemExit as stop:
            ended.status = stop.code
        except BaseException as error:
            ended.error = error
        ended.out, ended.err = capsys.readouterr()
        return ended

    return carry_out


@pytest.fixture
def cut(tmp_path):
    """A function that starts a run with some settings, uses it, and stops."""

    def stopped(use=lambda run: None, **settings):
        run = runs.Run.start("toy", Config(out=tmp_path / "out", **settings))
        use(run)
        run.finish("interrupted", 1.0)
        return run

    return stopped
