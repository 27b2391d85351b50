"""The receipt: what a run ran on, so that another can be held against it."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

# Fields that say where things lie on this machine, which is no part of a run.
PLACES = ("out", "data_dir", "resume")
# What a receipt says of one sitting, where a run that was cut short had several.
PER_SITTING = ("versions", "device", "commit", "dirty", "started", "ended", "seconds", "outcome")


def begun(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a run at its start."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = {"experiment": name, "seed": fields.get("seed"), "config": fields, **circumstances()}
    return receipt | {"started": started}


def circumstances() -> dict[str, Any]:
    devices = jax.devices()
    return {
        "flags": _flags(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("backhand", "jax", "jaxlib", "numpy", "optax")},
        "platform": platform.platform(),
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **_commit(),
    }


def _flags() -> list[str]:
    """The command line's words, less what says where things lie."""
    places = {f"--{field.replace('_', '-')}" for field in PLACES}
    flags = [
        word
        for before, word in zip(sys.argv, sys.argv[1:], strict=False)
        if word.split("=")[0] not in places and before not in places
    ]
    return [Path(word).name if Path(word).is_absolute() else word for word in flags]


def _commit() -> dict[str, Any]:
    """The commit of the experiment's file, and whether the tree has changes: None where git can't say."""

    def git(*args: str) -> str | None:
        command = ["git", "-C", str(Path(sys.argv[0]).resolve().parent), *args]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
