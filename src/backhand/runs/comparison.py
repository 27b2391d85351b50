"""Two runs held against each other: what they were asked, what they ran on, what came out.

A run's folder may be anybody's. Nothing in it is run, no file outside it is read, and what can't be understood is said
to be so.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backhand.storage import parameters as files

# What of a run's numbers is how long something took, or follows from it: never the same twice, and never compared.
TIMES = {
    "bench": ("metrics.seconds", "results.seconds.*", "results.ratios.*", "results.*_over_*"),
    "costs": ("metrics.by hand*", "metrics.autodiff*", "results.*.seconds", "results.*.ratio.*", "results.*.verdict"),
    "lecun": ("nets.*.seconds", "results.*.seconds"),
}  # fmt: skip
# Of a receipt, what is of no consequence, or compared by itself. The rest are digests and circumstances.
NEUTRAL = (
    "experiment", "seed", "config", "metrics_sha256", "earlier", "command", "flags", "started", "ended", "seconds",
    "outcome",
)  # fmt: skip
PROGRAM = ".program_sha256"  # a circumstance among the digests
LONGEST = 100_000_000  # bytes of JSON that are read; a file may say that it is any size


class Apart(NamedTuple):
    """How far apart two arrays are, or two numbers of JSON."""

    absolute: float
    """The largest |Δ|; infinite where there is none, as of words, NaN or other shapes."""
    relative: float
    """That in units of the largest magnitude in either."""
    dtype: str
    """The arrays'; "number" or "words" in JSON."""


class Difference(NamedTuple):
    """What sets run b apart from run a: values of both by name, or how far they are apart; empty where nothing."""

    config: Mapping[str, tuple[Any, Any]]
    """Fields of the config, and the experiment."""
    environment: Mapping[str, tuple[Any, Any]]
    """What the receipts say of circumstances: "versions.jax", "cores", …; None where one does not say."""
    digests: Mapping[str, tuple[Any, Any]]
    """What they say of data, parameters and the ends of trainings."""
    metrics: Mapping[str, Apart]
    """By key, over all records of metrics.jsonl."""
    first_record: int | None
    """The first record of metrics.jsonl that differs, from 1."""
    arrays: Mapping[str, Apart]
    """By file and leaf, "params/0.w", of all .safetensors files."""
    results: Mapping[str, Apart]
    """By file and path, "results.0.loss", of the other JSON files and notebooks."""
    missing: tuple[str, ...]
    """What one has and the other lacks."""

    @property
    def same(self) -> bool:
        """Whether they were asked the same and all that came out is the same, bit for bit."""
        return not (
            self.config or self.digests or self.metrics or self.arrays or self.results or self.missing
        )

    def __str__(self) -> str:
        lines = [f"missing      {words}" for words in some(self.missing)]
        for what in ("config", "environment", "digests"):
            both: Mapping[str, tuple[Any, Any]] = getattr(self, what)
            lines += [f"{what:12} {name}: {shown(a)} and {shown(b)}" for name, (a, b) in both.items()]
        if self.first_record is not None:
            lines.append(f"metrics      from record {self.first_record} on")
        for what in ("metrics", "arrays", "results"):
            apart: Mapping[str, Apart] = getattr(self, what)
            worst = sorted(apart, key=lambda name: -apart[name].relative)
            lines += [
                f"{what:12} {words}" for words in some([f"{name}: {far(apart[name])}" for name in worst])
            ]
        return printable("\n".join(lines or ["no difference"]))


class _Record(NamedTuple):
    """What a run's folder holds."""

    config: dict[str, Any]
    receipt: dict[str, Any]
    metrics: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]
    results: dict[str, Any]


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Difference:
    """What sets the run in folder b apart from that in folder a; its `str` is an account of it.

    How long things took is not compared. Raises ValueError where a folder holds no run, or a file of it is
    damaged; OSError where one can't be read.
    """
    first, second = _record(Path(a)), _record(Path(b))
    metrics, first_record = _metrics(first.metrics, second.metrics)
    missing = [
        f"{side} has no {what}"
        for what, pair in {
            "receipt.json": (first.receipt, second.receipt),
            "metrics.jsonl": (first.metrics, second.metrics),
        }.items()
        for side, mine, other in (("a", pair[0], pair[1]), ("b", pair[1], pair[0]))
        if other and not mine
    ]
    if first.metrics and second.metrics and len(first.metrics) != len(second.metrics):
        missing.append(f"metrics.jsonl has {len(first.metrics)} records in a, {len(second.metrics)} in b")
    for mine, other in ((first.arrays, second.arrays), (first.results, second.results)):
        missing += [f"b has no {name}" for name in mine if name not in other]
        missing += [f"a has no {name}" for name in other if name not in mine]
    receipts = (first.receipt, second.receipt) if first.receipt and second.receipt else ({}, {})
    # Digests that only one has say nothing of the other; but of data both should.
    told = [
        {k: v for k, v in r.items() if _of_digests(k) and k in receipts[0] and k in receipts[1]}
        for r in receipts
    ]
    for receipt, digests in zip(receipts, told, strict=True):
        digests["data_sha256"] = receipt.get("data_sha256")
    ends = [{name: value for name, value in _flat(digests) if not name.endswith(PROGRAM)} for digests in told]
    programs = [{name: value for name, value in _flat(digests) if name.endswith(PROGRAM)} for digests in told]
    experiments = [{"experiment": receipt.get("experiment")} for receipt in receipts]
    return Difference(
        config=_values(experiments[0] | first.config, experiments[1] | second.config),
        environment=_values(*map(_environment, receipts)) | _values(*programs),
        digests=_values(*ends),
        metrics=metrics,
        first_record=first_record,
        arrays={
            name: apart
            for name, x in first.arrays.items()
            if name in second.arrays and (apart := _arrays(x, second.arrays[name]))
        },
        results={
            name: apart
            for name, x in first.results.items()
            if name in second.results and (apart := _apart(x, second.results[name]))
        },
        missing=tuple(missing),
    )  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file of a run holds.

    Raises ValueError where it holds something else, or is a link or no file; OSError where there is none.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path} should be a file, and is a link, a folder or a device")
    value = _parsed(path, read_bytes(path))
    if not isinstance(value, dict):
        raise ValueError(f"{path} should hold a JSON object, got {shown(value)}")
    return value


def contents(folder: Path) -> dict[str, Path]:
    """A run's files, by name in its folder: "nets/a.safetensors"; neither links that lead out of it nor devices."""
    root = folder.resolve()
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.resolve().is_relative_to(root)
    }


def read_bytes(path: Path) -> bytes:
    """What is in a file of a run; ValueError where it is too long to be read whole."""
    if (size := path.stat().st_size) > LONGEST:
        raise ValueError(f"{path} is too long to be compared: {size:,} bytes, and {LONGEST:,} are read")
    return path.read_bytes()


def shown(value: Any) -> str:
    """A value of JSON, however long, in a few words that do nothing to a terminal."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)")


def some(lines: Sequence[str]) -> list[str]:
    """The first five, and how many more there are."""
    return [*lines[:5], *([f"and {len(lines) - 5} more"] if len(lines) > 5 else [])]


def far(apart: Apart) -> str:
    """How far, in words."""
    if math.isinf(apart.absolute):
        return "not to be measured: other words, shape or NaN"
    return f"{apart.absolute:.1e} apart at most, {apart.relative:.1e} of the largest {apart.dtype}"


def printable(text: str) -> str:
    """Text with nothing in it that could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def _record(folder: Path) -> _Record:
    inside = contents(folder)
    if "config.json" not in inside:
        raise ValueError(f"diff: {folder} holds no run: a run's folder has a config.json")
    receipt = read_json(inside["receipt.json"]) if "receipt.json" in inside else {}
    times = TIMES.get(str(receipt.get("experiment")), ())

    def kept(prefix: str, value: Any) -> dict[str, Any]:
        return {
            name: leaf
            for name, leaf in _flat(value, prefix)
            if not any(fnmatchcase(name, pattern) for pattern in times)
        }

    arrays: dict[str, np.ndarray] = {}
    results: dict[str, Any] = {}
    metrics: list[dict[str, Any]] = []
    for path in inside.values():
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name.startswith("checkpoints/"):  # on the way, and gone at the end
            continue
        if path.suffix == ".safetensors":
            arrays |= {f"{name}/{leaf}": a for leaf, a in files.read(path)[0].items()}
        elif path.suffix in (".json", ".ipynb") and name not in ("config", "receipt"):
            results |= kept(name, _parsed(path, read_bytes(path)))
        elif name == "metrics" and path.suffix == ".jsonl":
            records = [_parsed(path, line) for line in read_bytes(path).splitlines()]
            metrics = [kept("metrics", record) for record in records]
    return _Record(read_json(inside["config.json"]), receipt, metrics, arrays, results)


def _parsed(path: Path, text: bytes) -> Any:
    try:
        value = json.loads(text)
        list(_flat(value))  # so deep that it can't be walked is as good as damaged
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is damaged: it is not JSON that can be read: {error}") from error
    return value


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a value of JSON, by their path in it."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _environment(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Circumstances by name; where they changed from sitting to sitting, all there were."""
    earlier = receipt.get("earlier", [])
    said: dict[str, dict[Any, None]] = {}
    for sitting in [receipt, *(earlier if isinstance(earlier, list) else [earlier])]:
        for name, value in _flat(sitting):
            key = name.split(".")[0]
            if key not in NEUTRAL and not _of_digests(key):
                said.setdefault(name, {})[value] = None
    return {name: values[0] if len(values := list(unique)) == 1 else values for name, unique in said.items()}


def _of_digests(key: str) -> bool:
    """Whether a receipt's field tells what came out."""
    return key == "trainings" or (key.endswith("_sha256") and key not in ("source_sha256", *NEUTRAL))


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, and how it is in either."""
    names = dict.fromkeys([*a, *b])
    return {name: (a.get(name), b.get(name)) for name in names if repr(a.get(name)) != repr(b.get(name))}


def _metrics(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> tuple[dict[str, Apart], int | None]:
    """How far apart, by key, and from which record on."""
    apart: dict[str, Apart] = {}
    first = None
    for number, (x, y) in enumerate(zip(a, b, strict=False), start=1):
        for name in {**x, **y}:
            found = _apart(x.get(name), y.get(name))
            if found:
                first = first or number
                key = name.removeprefix("metrics.")
                apart[key] = max(apart.get(key, found), found)
    if first is None and a and b and len(a) != len(b):
        first = min(len(a), len(b)) + 1
    return apart, first


def _apart(x: Any, y: Any) -> Apart | None:
    """How far apart two leaves of JSON are; None where they are the same."""
    if repr(x) == repr(y):  # which knows −0 from 0, and NaN as NaN
        return None
    try:
        if isinstance(x, bool | str) or isinstance(y, bool | str):
            raise TypeError
        absolute, scale = abs(float(x) - float(y)), max(abs(float(x)), abs(float(y)))
    except (OverflowError, TypeError):
        return Apart(math.inf, math.inf, "words")
    if not math.isfinite(absolute):
        return Apart(math.inf, math.inf, "number")
    return Apart(absolute, absolute / (scale or 1), "number")


def _arrays(x: np.ndarray, y: np.ndarray) -> Apart | None:
    """How far apart two arrays are; None where they are the same, bit for bit."""
    if (x.dtype, x.shape) == (y.dtype, y.shape) and x.tobytes() == y.tobytes():
        return None
    dtype = str(x.dtype)
    if (x.dtype, x.shape) != (y.dtype, y.shape):
        return Apart(math.inf, math.inf, dtype)
    a, b = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(invalid="ignore"):
        delta = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
    absolute = float(np.where(np.isnan(delta), math.inf, delta).max())
    scale = float(np.where(np.isfinite(a), abs(a), 0).max())
    return Apart(absolute, absolute / (scale or 1) if math.isfinite(absolute) else math.inf, dtype)
