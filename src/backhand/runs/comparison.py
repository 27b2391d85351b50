"""Two runs compared: what they were told, what they ran on, what came out.

A run's folder may come from anybody. Nothing in it is executed, no file outside it is read, and
what can't be understood raises an error that says so.
"""

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from backhand.storage import parameters
from backhand.storage.json_values import JSON

TIMES = {"seconds", "times"}  # what has such a name in its path, in any file, is not compared
LONGEST = 100_000_000  # bytes of JSON that are read; a file can claim any size
# Fields of a receipt that are not circumstances: they are compared elsewhere, or do not matter.
NEUTRAL = (
    "experiment", "config", "files", "earlier", "started", "ended", "seconds", "outcome",
)  # fmt: skip
Pairs: TypeAlias = Mapping[str, tuple[JSON, JSON]]  # the values of runs a and b, by name


class Apart(NamedTuple):
    """How far apart two arrays are, or two values of JSON.

    absolute: the largest |Δ|; infinite if there is none, as for words, NaN, different shapes, or
      what only one run has.
    relative: the same in units of the largest magnitude in either; in JSON, of 1 if that is larger.
    tolerance: √ε of the dtype, half of its digits, and in JSON that of float32; 0 for integers.
    """

    absolute: float
    relative: float
    tolerance: float

    @property
    def excess(self) -> float:
        """How many tolerances apart."""
        return self.relative / self.tolerance if self.tolerance else math.inf

    def __str__(self) -> str:
        if math.isinf(self.absolute):
            return "not measurable: missing in one, or different words, shapes or NaN"
        return (
            f"{self.absolute:.1e} apart at most, {self.relative:.1e} of the largest; "
            f"t is {self.tolerance:.1e}"
        )


UNLIKE = Apart(math.inf, math.inf, 0.0)
LACKS = object()  # in the place of what a run lacks


class Difference(NamedTuple):
    """What differs between runs a and b; each part is empty if nothing does.

    config: fields of the config, and the experiment's name.
    environment: the receipts' circumstances, such as "versions.jax".
    digests: the receipts' digests of data, parameters and trainings.
    results: how far apart the rest is, by file and name: "metrics.1.loss" in the first record,
      "results.net.loss", "params/0.w".
    """

    config: Pairs
    environment: Pairs
    digests: Pairs
    results: Mapping[str, Apart]

    @property
    def same(self) -> bool:
        """Whether they were told the same and gave the same results, bit for bit."""
        return not (self.config or self.digests or self.results)

    def __str__(self) -> str:
        lines = []
        for part in ("config", "environment", "digests"):
            pairs: Pairs = getattr(self, part)
            lines += [f"{part:12} {n}: {shown(a)} and {shown(b)}" for n, (a, b) in pairs.items()]
        records = [name.split(".")[1] for name in self.results if name.startswith("metrics.")]
        lines += [f"metrics      from record {number} on" for number in records[:1]]
        worst = sorted(self.results, key=lambda name: -self.results[name].excess)
        lines += [f"results      {name}: {self.results[name]}" for name in worst[:5]]
        lines += [f"results      and {len(worst) - 5} more"] if len(worst) > 5 else []
        return printable("\n".join(lines or ["no difference"]))


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Difference:
    """Compare the runs in two folders, except for times; `str` of the result lists what differs.

    Raises ValueError if a folder holds no run, or a file of it is damaged; OSError if one can't be
    read.
    """
    (config_a, receipt_a, x), (config_b, receipt_b, y) = _contents(Path(a)), _contents(Path(b))
    receipts = (receipt_a, receipt_b) if receipt_a and receipt_b else ({}, {})
    # A digest that only one receipt has says nothing about the other, except for the data's.
    unknown = {name for name in receipts[0].keys() ^ receipts[1].keys() if _is_digest(name)}
    ignored = {*NEUTRAL, *unknown} - {"data_sha256"}
    told = _pairs(*(_of_all_processes(receipt, ignored) for receipt in receipts))
    names = [{"experiment": receipt.get("experiment")} for receipt in receipts]
    return Difference(
        config=_pairs(names[0] | config_a, names[1] | config_b),
        environment={name: pair for name, pair in told.items() if not _is_digest(name)},
        digests={name: pair for name, pair in told.items() if _is_digest(name)},
        results={
            n: apart for n in {**x, **y} if (apart := _apart(x.get(n, LACKS), y.get(n, LACKS)))
        },
    )


def read_json(path: Path) -> dict[str, JSON]:
    """The object in a JSON file of a run.

    Raises ValueError if it is something else, or a link or not a file; OSError if there is none.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path} should be a file, and is a link, a folder or a device")
    value = _parsed(path, read_bytes(path))
    if not isinstance(value, dict):
        raise ValueError(f"{path} should hold a JSON object, got {shown(value)}")
    return value


def contents(folder: Path) -> dict[str, Path]:
    """A run's files by name, without devices and links that lead out of the folder."""
    root = folder.resolve()
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.resolve().is_relative_to(root)
    }


def read_bytes(path: Path) -> bytes:
    """A file's content; ValueError if it is too long to be read whole."""
    if (size := path.stat().st_size) > LONGEST:
        raise ValueError(f"{path} is too long to compare: {size:,} bytes, over {LONGEST:,}")
    return path.read_bytes()


def shown(value: JSON) -> str:
    """A value of JSON, however long, in a few words that can't steer a terminal."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)")


def printable(text: str) -> str:
    """Text with nothing in it that could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def _contents(folder: Path) -> tuple[dict[str, JSON], dict[str, JSON], dict[str, JSON]]:
    """A run's config, its receipt, and its results: arrays and leaves of JSON by name."""
    inside = contents(folder)
    if "config.json" not in inside:
        raise ValueError(f"diff: {folder} holds no run: a run's folder has a config.json")
    config = read_json(inside.pop("config.json"))
    receipt = read_json(inside.pop("receipt.json")) if "receipt.json" in inside else {}
    results: dict[str, JSON] = {"receipt.json": True} if receipt else {}
    for file, path in inside.items():
        name = file.removesuffix(path.suffix)
        if file.startswith("checkpoints/"):
            continue
        if path.suffix == ".safetensors":
            results |= {f"{name}/{leaf}": a for leaf, a in parameters.read(path)[0].items()}
        elif path.suffix in (".json", ".ipynb"):
            results |= _flat(_parsed(path, read_bytes(path)), name)
        elif file == "metrics.jsonl":
            for number, line in enumerate(read_bytes(path).splitlines(), start=1):
                results |= _flat(_parsed(path, line), f"{name}.{number}")
    compared = {n: leaf for n, leaf in results.items() if TIMES.isdisjoint(re.split("[./]", n))}
    return config, receipt, compared


def _parsed(path: Path, text: bytes) -> JSON:
    try:
        value = json.loads(text)
        _flat(value)  # a value too deep to walk is as good as damaged
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is damaged: it is not readable JSON: {error}") from error
    return value


def _flat(value: JSON, name: str = "") -> dict[str, JSON]:
    """The leaves of a value of JSON, by their path in it."""
    tree = {name: value} if name else value
    leaves, _ = tree_flatten_with_path(tree, is_leaf=lambda leaf: leaf is None)
    return {keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _of_all_processes(receipt: Mapping[str, JSON], ignored: set[str]) -> dict[str, JSON]:
    """A receipt's leaves by name; all values of one that changed when the run was resumed."""
    earlier = receipt.get("earlier", [])
    found: dict[str, dict[JSON, None]] = {}
    for process in [receipt, *(earlier if isinstance(earlier, list) else [earlier])]:
        for name, value in _flat(process).items():
            if name.split(".")[0] not in ignored:
                found.setdefault(name, {})[value] = None
    return {name: next(iter(v)) if len(v) == 1 else list(v) for name, v in found.items()}


def _is_digest(name: str) -> bool:
    """Whether a leaf of a receipt is a digest of data or results, not of what computed them."""
    field = name.split(".")[0]
    return field == "trainings" or (field.endswith("_sha256") and field != "source_sha256")


def _pairs(a: Mapping[str, JSON], b: Mapping[str, JSON]) -> dict[str, tuple[JSON, JSON]]:
    """The values that differ."""
    names = dict.fromkeys([*a, *b])
    return {n: (a.get(n), b.get(n)) for n in names if repr(a.get(n)) != repr(b.get(n))}


def _apart(x: JSON, y: JSON) -> Apart | None:
    """How far apart two arrays or leaves of JSON are; None if they are the same, bit for bit."""
    if _bits(x) == _bits(y):
        return None
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        if (x.dtype, x.shape) != (y.dtype, y.shape):
            return UNLIKE
        floating, least = jnp.issubdtype(x.dtype, jnp.floating), 0.0
        tolerance = math.sqrt(jnp.finfo(x.dtype).eps) if floating else 0.0
    elif {type(x), type(y)} <= {int, float}:
        tolerance, least = math.sqrt(jnp.finfo("float32").eps), 1.0
    else:
        return UNLIKE
    try:
        a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    except OverflowError:  # an integer of hundreds of digits
        return UNLIKE
    differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
    absolute = np.abs(a[differ] - b[differ]).max(initial=0.0)
    if not math.isfinite(absolute):
        return UNLIKE
    sizes = np.abs([a, b])
    scale = sizes.max(where=np.isfinite(sizes), initial=least)
    return Apart(float(absolute), float(absolute / (scale or 1)), tolerance)


def _bits(value: JSON) -> object:
    """Equal for what is the same bit for bit: −0 is not 0, and NaN is NaN."""
    is_array = isinstance(value, np.ndarray)
    return (value.dtype, value.shape, value.tobytes()) if is_array else repr(value)
