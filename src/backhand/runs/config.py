"""What every experiment's config has, and the make commands that repeat or resume a run of one."""

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from backhand.checks import positive_float32, positive_integer, seed_in_range
from backhand.storage.json_values import JSON, plain

# Fields that say where things lie on this machine, which is not a part of what a run is.
PLACES = ("out", "data_dir", "resume")


@dataclass(frozen=True)
class Config:
    """What every experiment is told; an experiment's own config adds its settings.

    Fields and their docstrings become flags and their help. All have defaults.
    """

    seed: int = 0
    """Seeds everything random: the data's split, the first weights, the order of examples."""
    out: Path = Path("runs")
    """The folder for runs; this one gets a folder of its own, OUT/NAME/TIME."""

    def __post_init__(self) -> None:
        seed_in_range("config", self.seed)
        for name, value in vars(self).items():
            if isinstance(value, Path | str) and not str(value).isprintable():
                raise ValueError(f"config: {name} should be printable, got {str(value)!r}")

    def command(self, name: str) -> str:
        """The command that runs the experiment of this name again, with this config."""
        defaults = vars(type(self)())
        changed = {k: v for k, v in vars(self).items() if v != defaults[k] and k not in PLACES}
        # A path is not stored: a report may be shown to others.
        places = {k: f"/path/to/{v.name}" for k, v in changed.items() if _is_far(v)}
        return _make(name, changed | places)


@dataclass(frozen=True)
class TrainingConfig(Config):
    """The config of an experiment that trains."""

    resume: Path | None = None
    """The folder of a run that was stopped: continue it from its last checkpoint."""

    def __post_init__(self) -> None:
        """Check what most trainings are told: widths, step size, batches, epochs and seeds."""
        super().__post_init__()
        told = vars(self)
        counts = [("hidden", width) for width in told.get("hidden", ())]
        counts += [(name, told[name]) for name in ("batch_size", "epochs", "seeds") if name in told]
        for name, count in counts:
            positive_integer("config", name, count)
        if "learning_rate" in told:
            positive_float32("config", "learning_rate", told["learning_rate"])
        seed_in_range("config", self.seed, told.get("seeds", 1))


@dataclass(frozen=True)
class PictureConfig(TrainingConfig):
    """The config of an experiment that trains on pictures."""

    dataset: str = "digits"
    """Which pictures: digits, scikit-learn's 1,797 of 8×8 pixels; mnist, fashion_mnist or kmnist,
    70,000 of 28×28 through TensorFlow Datasets; or any of its datasets prepared as ArrayRecord."""
    data_dir: Path | None = None
    """The folder of TensorFlow Datasets' downloads/; by default TFDS_DATA_DIR, or
    ~/tensorflow_datasets."""


def settings(config: Config) -> dict[str, JSON]:
    """A config's fields in JSON's terms, without the places."""
    return {name: plain(value) for name, value in vars(config).items() if name not in PLACES}


def flags(settings: Mapping[str, JSON]) -> list[str]:
    """The settings in a config.json as words of a command line.

    Raises ValueError if they are not settings: a place, say, or a word that is itself a flag.
    """
    words = []
    for field, value in settings.items():
        flag, items = f"--{field.replace('_', '-')}", value if isinstance(value, list) else [value]
        if not field.isidentifier() or field in PLACES or not all(map(_is_setting, items)):
            raise ValueError(f"config.json should hold settings, got {field}: {value!r}")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, *map(str, items)] if value is items else [f"{flag}={value}"]
    return words


def _is_setting(value: JSON) -> bool:
    if isinstance(value, str):
        return not value.startswith("-")
    return value is None or isinstance(value, bool | int | float)


def resume_command(name: str, config: Config, folder: Path) -> str:
    """The make command that resumes a run, with the paths, which a run does not store."""
    paths = {k: v for k, v in vars(config).items() if isinstance(v, Path) and k != "out"}
    return _make(name, {"resume": folder} | paths)


def _is_far(value: object) -> bool:
    return isinstance(value, Path) and value.is_absolute()


def _make(name: str, values: Mapping[str, object]) -> str:
    """A make command that a shell can be given, whatever the values are."""
    words = [f"make {name}"]
    for field, value in values.items():
        items = value if isinstance(value, list | tuple) else (value,)
        said = str(value).lower() if isinstance(value, bool) else " ".join(map(str, items))
        words.append(shlex.quote(f"{field.upper()}={said}"))
    return " ".join(words)


def words(config_type: type[Config], arguments: Sequence[str]) -> list[str]:
    """A command line as the parser wants it, with lists taken apart: --hidden=8,8 or "8 8"."""
    lists = {field.name for field in fields(config_type) if isinstance(field.default, tuple)}
    found: list[str] = []
    in_list = False
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if argument.startswith("--"):
            in_list = flag[2:].replace("-", "_") in lists
            found.append(flag if in_list else argument)
            found += re.findall(r"[^\s,]+", value) if in_list else []
        else:
            found += re.findall(r"[^\s,]+", argument) if in_list else [argument]
    return found


def check_choices(config_type: type[Config], words: Sequence[str]) -> None:
    """Raise ValueError for a word that is none of a setting's choices, and name the nearest."""
    hints, name = get_type_hints(config_type), ""
    for word in words:
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            name = flag[2:].replace("-", "_")
        choices = _choices(hints.get(name))
        given = value if equals else word
        if choices and (equals or not word.startswith("--")) and given not in choices:
            nearest = difflib.get_close_matches(given, choices, 1)
            meant = f"; did you mean {nearest[0]}?" if nearest else ""
            raise ValueError(f"{name} should be one of {', '.join(choices)}, got {given!r}{meant}")


def _choices(hint: object) -> list[str]:
    """The words of a Literal, wherever it is in a type."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [choice for inner in get_args(hint) for choice in _choices(inner)]


def unread(config_type: type[Config], arguments: Sequence[str]) -> list[str]:
    """Settings in the environment, as by `SEED=3 make NAME`, which make does not hand on."""
    flags = (argument.split("=")[0][2:].replace("-", "_") for argument in arguments)
    given = {flag.removeprefix("no_") for flag in flags}
    names = [field.name for field in fields(config_type) if field.name not in given]
    there = {name.upper(): os.environ.get(name.upper(), "") for name in names}
    under_make = "MAKELEVEL" in os.environ
    readable = {n: value for n, value in there.items() if value and value.isprintable()}
    return [f"{name}={value}" for name, value in readable.items() if under_make]
