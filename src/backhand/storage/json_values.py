"""What a run's JSON files hold: values in JSON's terms, and back."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

JSON: TypeAlias = Any  # what JSON can hold


def plain(value: Any) -> Any:
    """The value in JSON's terms, which has null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)  # whose machine it was is nobody's business
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def numbers(value: Any) -> Any:
    """What `plain` wrote, with NaN for null."""
    if isinstance(value, dict):
        return {key: numbers(v) for key, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return math.nan if value is None else value
