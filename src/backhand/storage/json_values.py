"""Values that JSON can hold."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

JSON: TypeAlias = Any  # what JSON can hold


def plain(value: object) -> JSON:
    """The value as JSON can hold it; NaN and infinity, which it lacks, become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return plain(value.item())
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, Path):  # without the folders, which are nobody else's business
        return value.name if value.is_absolute() else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_json(caller: str, config: Mapping[str, JSON]) -> str:
    """The config as JSON; TypeError, naming the caller, if that can't hold it."""
    try:
        return json.dumps(dict(config), ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{caller}: config should be what JSON can hold, got {config!r}: {error}"
        ) from error
