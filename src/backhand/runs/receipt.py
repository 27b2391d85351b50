"""The receipt: what a run ran on, so that another can be held against it."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from backhand.storage.digests import sha256

# Fields that say where things lie on this machine, which is no part of a run.
PLACES = ("out", "data_dir", "resume")
# What a receipt says of one sitting, where a run that was cut short had several.
PER_SITTING = (
    "command", "flags", "versions", "prng", "platform", "device", "cpu", "cores", "affinity", "threads", "xla_flags",
    "jax_config", "commit", "dirty", "source_sha256", "started", "ended", "seconds", "outcome",
)  # fmt: skip
PACKAGES = ("backhand", "jax", "jaxlib", "numpy", "optax")
# What sets how many threads there are, where it is set; XLA's CPU client reads NPROC.
THREADS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def begun(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a run at its start."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = {"experiment": name, "seed": fields.get("seed"), "config": fields, **circumstances()}
    return receipt | {"started": started}


def circumstances() -> dict[str, Any]:
    """What this process was asked, and what its numbers may depend on beside the config; no place, nobody's name."""
    devices = jax.devices()
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    flags = os.environ.get("XLA_FLAGS")
    return {
        "command": shlex.join(["python", *_placeless(sys.orig_argv[1:])]),
        "flags": _placeless(sys.argv[1:]),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "prng": jax.config.values["jax_default_prng_impl"],
        "platform": platform.platform(),
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "cpu": _cpu(),
        "cores": os.cpu_count() if cpus is None else len(cpus),  # that this process may use
        "affinity": None if cpus is None else " ".join(map(str, cpus)),
        "threads": {"xla": _xla_threads()}
        | {name.lower(): os.environ[name] for name in THREADS if name in os.environ},
        "xla_flags": None if flags is None else " ".join(map(_less_folders, re.split(r"\s+(?=--)", flags))),
        "jax_config": _jax_config(),
        **_commit(),
        "source_sha256": _source(),
    }


def _placeless(words: list[str]) -> list[str]:
    """Words of a command line, less what says where things lie."""
    places = {f"--{field}" for field in PLACES}
    flags = [word.replace("-", "_").replace("__", "--", 1) for word in words]  # either is taken
    return [
        _less_folders(word)
        for before, flag, word in zip(["", *flags], flags, words, strict=False)
        if flag.split("=")[0] not in places and before not in places
    ]


def _less_folders(word: str) -> str:
    """The word with an absolute path in it cut down to its last part: whose machine it was is nobody's business."""
    return re.sub(r"(?<![\w.-])([A-Za-z]:)?[\\/](.*[\\/])?", "", word, flags=re.DOTALL)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _xla_threads() -> int | None:
    """How many threads XLA computes with on a CPU, counted; None where the system does not list them."""
    try:
        names = [p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return None
    return names.count("tf_XLAEigen") or None


def _jax_config() -> dict[str, str] | None:
    """JAX's settings that are not as JAX has them by itself, whether by the environment or by a program."""
    try:
        usual = _jax_defaults()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    now = {name: str(value) for name, value in jax.config.values.items()}
    return {name: _less_folders(value) for name, value in now.items() if usual.get(name) != value}


@cache
def _jax_defaults() -> dict[str, str]:
    """JAX's settings in a process to which nobody said anything: JAX itself forgets them where they are changed."""
    code = "import json, jax; print(json.dumps({k: str(v) for k, v in jax.config.values.items()}))"
    untold = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    said = subprocess.run(
        [sys.executable, "-P", "-c", code], env=untold, capture_output=True, text=True, check=True, timeout=60
    )
    return dict(json.loads(said.stdout))


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


def _source() -> str:
    """The digest of this library's source and the experiment's, which says more than a commit with changes."""
    package = Path(__file__).parents[1]
    files = {str(path.relative_to(package)): path for path in package.rglob("*.py")}
    files |= {
        Path(word).name: Path(word) for word in sys.argv if word.endswith(".py") and Path(word).is_file()
    }
    return sha256({name: np.frombuffer(path.read_bytes(), np.uint8) for name, path in files.items()})
