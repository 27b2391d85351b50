"""Parameters in files: written whole or not at all, and read only as they were written.

A file is safetensors, which holds names, dtypes, shapes and bytes, and nothing that runs; beside them stand the
config, as JSON, and a SHA-256 of it all, which safetensors itself does not have.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Layer, Params
from backhand.storage import atomic
from backhand.storage.digests import sha256

# By the names that safetensors gives them.
DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32,
    "F64": np.float64,
}  # fmt: skip
HEADER = 100_000_000  # bytes; safetensors reads no longer one


def save(path: str | os.PathLike[str], params: Params, config: Mapping[str, Any] | None = None) -> None:
    """Write params, a tree of arrays, to a safetensors file, with `config`, what they belong to, as JSON.

    Each array is named by its path in the tree: "0.w" for serial(linear(…)). What was there is replaced once the new
    file is whole. Raises TypeError where a leaf is no array or config is not JSON's; OSError where nothing can be
    written.
    """
    Path(path)  # TypeError, before work starts
    for name, leaf in _named(params).items():
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(f"save: params should be arrays, got {type(leaf).__name__} at {name}")
        if np.dtype(leaf.dtype) not in map(np.dtype, DTYPES.values()):
            raise TypeError(
                f"save: params should be numbers that a file can hold, got {leaf.dtype} at {name}"
            )
    try:
        text = json.dumps(dict(config or {}), ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise TypeError(f"save: config should be what JSON can hold, got {config!r}: {error}") from error
    atomic.write(path, encode(named_arrays(params), text))


def load(path: str | os.PathLike[str], net: Layer, x: Any) -> Params:
    """The params of a file that `save` wrote, for a net of inputs like x (batch, …), array or ShapeDtypeStruct.

    Raises ValueError that says what differs where names, shapes or dtypes are not those that `net.init` gives, before
    the numbers are read, or where the file is damaged or something else; OSError where there is none. Nothing in
    the file is run.
    """
    checks.layers("load", [net])
    checks.array("load", "x", x)
    like = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct(x.shape, x.dtype))
    wanted = forms(like)
    found = _forms(Path(path))
    if found != wanted:
        raise ValueError(f"load: {path} does not suit the net: {difference(found, wanted)}")
    arrays, _ = read(path)
    return jax.tree.map(jnp.asarray, arrays_as(like, arrays))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file that `save` wrote, by name, and the config.

    Raises ValueError where it is damaged or something else, OSError where there is none.
    """
    _forms(Path(path))
    return decode(Path(path).read_bytes(), str(path))


def encode(arrays: Mapping[str, np.ndarray], config: str = "{}") -> bytes:
    """A file's content: arrays by name, and a config in JSON."""
    safetensors = _safetensors()
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}  # a scalar stays one
    # One entry: of several, safetensors writes one first and next time another, and equal runs have equal files.
    metadata = {"backhand": json.dumps([config, _digest(contiguous, config)])}
    content: bytes = safetensors.numpy.save(contiguous, metadata)
    return content


def decode(content: bytes, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `encode` made of arrays and a config; ValueError, by the file's name, where it is not as it was."""
    safetensors = _safetensors()
    # Damage can make of the header anything that JSON can be, and some of it no reader has thought of.
    try:
        length = int.from_bytes(content[:8], "little")
        config, digest = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["backhand"])
        arrays = {}
        for key, tensor in sorted(safetensors.deserialize(content), key=lambda pair: pair[0]):
            arrays[key] = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
        whole = digest == _digest(arrays, config)
        settings = json.loads(config)
    except (safetensors.SafetensorError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a whole file of parameters: {error}") from error
    if not whole:
        raise ValueError(f"{name} is damaged: its SHA-256 is not that of what is in it")
    return arrays, settings


def named_arrays(tree: Any) -> dict[str, np.ndarray]:
    """A tree's arrays by their path in it: {"0.w": …, "0.b": …} for serial(linear(…)).

    Raises ValueError where two paths read the same.
    """
    return {name: np.asarray(leaf) for name, leaf in _named(tree).items()}


def arrays_as(tree: Any, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Any:
    """The reverse of `named_arrays`: a tree like this one, of the arrays that bear its paths after `prefix`."""

    def array(path: Any, _: Any) -> np.ndarray:
        return arrays[prefix + jax.tree_util.keystr(path, simple=True, separator=".")]

    return jax.tree_util.tree_map_with_path(array, tree)


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """What `found` lacks of what is wanted, has too much, and has otherwise, a few of each; both from `forms`."""
    missing = [f"{name} {wanted[name]}" for name in wanted if name not in found]
    extra = [f"{name} {found[name]}" for name in found if name not in wanted]
    other = [
        f"{name} is {found[name]}, not {wanted[name]}"
        for name in wanted
        if found.get(name, wanted[name]) != wanted[name]
    ]
    parts = {"it lacks ": missing, "it has besides ": extra, "": other}
    said = [
        start + ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for start, names in parts.items()
        if names
    ]
    return "; ".join(said)


def _named(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named: dict[str, Any] = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name in named:
            raise ValueError(f"two leaves of the tree would both be called {name!r}")
        named[name] = leaf
    return named


def forms(tree: Any) -> dict[str, str]:
    """A tree's arrays by their path in it, each by its dtype and shape: {"0.w": "float32[784, 10]", …}."""
    return {name: _form(leaf.dtype, leaf.shape) for name, leaf in _named(tree).items()}


def _form(dtype: Any, shape: Any) -> str:
    return f"{np.dtype(dtype).name}{list(shape)}"


def _forms(path: Path) -> dict[str, str]:
    """What a file says it holds, by name, from its header alone, which is as long as the file is at most."""
    safetensors = _safetensors()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
        if len(start) < 8 or not 2 <= int.from_bytes(start, "little") <= min(size - 8, HEADER):
            raise ValueError("it does not begin as one")
        with safetensors.safe_open(path, "np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            return {name: _form(DTYPES[s.get_dtype()], s.get_shape()) for name, s in slices.items()}
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole file of parameters: {error}") from error


def _safetensors() -> Any:
    """Safetensors, which comes with an extra, as training needs no files."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "parameters in files are written by safetensors: pip install 'backhand[cli]'"
        ) from error
    return safetensors


def _digest(arrays: Mapping[str, np.ndarray], config: str) -> str:
    named = {f"array {name}": a for name, a in arrays.items()}
    return sha256(named | {"config": np.frombuffer(config.encode(), np.uint8)})
