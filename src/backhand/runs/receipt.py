"""The receipt: what a run was told and what it ran on, so that two runs can be compared."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON

# Shared by a run and all its resumptions; every other field is written anew each time.
PER_RUN = (
    "experiment", "config", "earlier", "trainings", "data_sha256", "params_sha256", "files",
)  # fmt: skip
PACKAGES = ("backhand", "jax", "jaxlib", "numpy", "optax")
# These set the number of threads; XLA's CPU client reads NPROC.
THREADS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CACHE = ("jax_compilation_cache", "jax_persistent_cache", "jax_enable_compilation_cache")
_at_import = dict(jax.config.values)  # JAX keeps no default of a setting that was changed


def begun(name: str, settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """The receipt of a run that starts now."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"experiment": name, "config": settings} | circumstances() | {"started": started}


def circumstances() -> dict[str, JSON]:
    """What results may depend on besides the config; no names of folders or users."""
    devices = jax.devices()
    flags = os.environ.get("XLA_FLAGS")
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "platform": platform.platform(),
        "device": {
            "platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)
        },
        "cpu": _cpu(),
        # That this process may use.
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": {name.lower(): os.environ[name] for name in THREADS if name in os.environ},
        "xla_flags": flags and " ".join(map(_nameless, re.split(r"\s+(?=--)", flags))),
        "jax_config": {
            name: _nameless(str(value))
            for name, value in jax.config.values.items()
            if (name.upper() in os.environ or value != _at_import.get(name))
            and not name.startswith(CACHE)
        },
        "compilation_cache": bool(jax.config.values["jax_compilation_cache_dir"]),
        **_commit(),
        "source_sha256": _source(),
    }  # fmt: skip


def _nameless(word: str) -> str:
    """The word with the last part only of an absolute path in it: folders may bear users' names."""
    return re.sub(r"(?<![\w.-])([A-Za-z]:)?[\\/](.*[\\/])?", "", word, flags=re.DOTALL)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _commit() -> dict[str, JSON]:
    """The commit of the experiment's file, and whether the tree has changes; None without git."""
    folder = str(Path(sys.argv[0]).resolve().parent)
    command = ["git", "-C", folder, "status", "--porcelain=v2", "--branch"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    lines = result.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid")]
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def _source() -> str:
    """The digest of the library's source and the experiment's: of a dirty tree, too."""
    package = Path(__file__).parents[1]
    files = {str(path.relative_to(package)): path for path in package.rglob("*.py")}
    scripts = [Path(word) for word in sys.argv if word.endswith(".py") and Path(word).is_file()]
    files |= {path.name: path for path in scripts}
    return sha256({name: np.frombuffer(f.read_bytes(), np.uint8) for name, f in files.items()})
