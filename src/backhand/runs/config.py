"""What every experiment's config has, and the make commands that repeat or resume a run of one."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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

    def command(self, name: str) -> str:
        """The command that runs the experiment of this name again, with this config."""
        defaults = vars(type(self)())
        changed = {k: v for k, v in vars(self).items() if v != defaults[k] and k not in PLACES}
        return _make(name, {key: plain(value) for key, value in changed.items()})


@dataclass(frozen=True)
class TrainingConfig(Config):
    """The config of an experiment that trains."""

    resume: Path | None = None
    """The folder of a run that was stopped: continue it from its last checkpoint."""

    def __post_init__(self) -> None:
        """Check what most trainings are told: widths, step size, batches, epochs and seeds."""
        fields = vars(self)
        counts = [("hidden", width) for width in fields.get("hidden", ())]
        counts += [(n, fields[n]) for n in ("batch_size", "epochs", "seeds") if n in fields]
        for name, count in counts:
            positive_integer("config", name, count)
        if "learning_rate" in fields:
            positive_float32("config", "learning_rate", fields["learning_rate"])
        seed_in_range("config", self.seed, fields.get("seeds", 1))


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


def _make(name: str, values: Mapping[str, JSON]) -> str:
    """A make command; a value is quoted twice, for the shell that calls make and make's own."""
    words = [f"make {name}"]
    for field, value in values.items():
        items = value if isinstance(value, list) else [value]
        quoted = str(value).lower() if isinstance(value, bool) else shlex.join(map(str, items))
        words.append(f'{field.upper()}="{quoted}"')
    return " ".join(words)
