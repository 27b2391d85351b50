"""Parameters in files: written whole or not at all, and read only as they were written.

A file is safetensors: names, dtypes, shapes and bytes, and nothing that runs. Its metadata hold a
config, as JSON, and a SHA-256 of everything, which safetensors itself lacks.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Array, Layer, Params, Shaped, Tree
from backhand.storage import atomic
from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON

# By the names that safetensors gives them.
DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16,
    "U32": np.uint32, "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16,
    "BF16": jnp.bfloat16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
HEADER = 100_000_000  # bytes; safetensors reads no longer one


def save(
    path: str | os.PathLike[str], params: Params, config: Mapping[str, JSON] | None = None
) -> None:
    """Write params, a tree of arrays, to a safetensors file, with a config of what they belong to.

    Each array is named by its path in the tree: "0.w" for serial(linear(…)). An older file is
    replaced once the new one is whole. Raises TypeError if a leaf is not an array or JSON can't
    hold the config, and OSError if the file can't be written.
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
        raise TypeError(
            f"save: config should be what JSON can hold, got {config!r}: {error}"
        ) from error
    atomic.write(path, encode(named_arrays(params), text))


def load(path: str | os.PathLike[str], net: Layer, x: Shaped) -> Params:
    """The params in a file that `save` wrote, for a net with inputs like x (batch, …).

    Raises ValueError that says what differs if names, shapes or dtypes are not those that
    `net.init` gives, before the numbers are read, or if the file is damaged or something else;
    OSError if there is no file. Nothing in the file is run.
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


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], JSON]:
    """The arrays in a file that `save` wrote, by name, and the config.

    Raises ValueError if it is damaged or something else, OSError if there is no file.
    """
    _forms(Path(path))
    return decode(Path(path).read_bytes(), str(path))


def encode(arrays: Mapping[str, np.ndarray], config: str = "{}") -> bytes:
    """A file's content: arrays by name, and a config in JSON."""
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    # safetensors writes several entries in any order; one keeps equal runs' files equal.
    metadata = {"backhand": json.dumps([config, _digest(contiguous, config)])}
    content: bytes = safetensors().numpy.save(contiguous, metadata)
    return content


def decode(content: bytes, name: str) -> tuple[dict[str, np.ndarray], JSON]:
    """The arrays and config that `encode` was given; ValueError, naming the file, if damaged."""
    tensors = safetensors()
    # Damage can turn the header into anything that JSON can hold.
    try:
        length = int.from_bytes(content[:8], "little")
        config, digest = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["backhand"])
        arrays = {}
        for key, tensor in sorted(tensors.deserialize(content), key=lambda pair: pair[0]):
            array = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]])
            arrays[key] = array.reshape(tensor["shape"])
        whole = digest == _digest(arrays, config)
        settings = json.loads(config)
    except (
        tensors.SafetensorError, LookupError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ValueError(f"{name} is not a whole file of parameters: {error}") from error
    if not whole:
        raise ValueError(f"{name} is damaged: the SHA-256 in it is not that of its content")
    return arrays, settings


def named_arrays(tree: Tree) -> dict[str, np.ndarray]:
    """A tree's arrays by their path in it: {"0.w": …, "0.b": …} for serial(linear(…)).

    Raises ValueError if two paths read the same.
    """
    return {name: np.asarray(leaf) for name, leaf in _named(tree).items()}


def arrays_as(tree: Tree, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Tree:
    """The reverse: a tree like this one, of the arrays named by `prefix` and their path."""

    def array(path: tuple[object, ...], _: object) -> np.ndarray:
        return arrays[prefix + jax.tree_util.keystr(path, simple=True, separator=".")]

    return jax.tree_util.tree_map_with_path(array, tree)


def forms(tree: Tree) -> dict[str, str]:
    """A tree's arrays by path, each by dtype and shape: {"0.w": "float32[784, 10]", …}."""
    return {name: _form(leaf.dtype, leaf.shape) for name, leaf in _named(tree).items()}


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """What `found` lacks, has besides, and has differently, a few of each; both from `forms`."""
    parts = {
        "it lacks ": [f"{name} {wanted[name]}" for name in wanted if name not in found],
        "it has besides ": [f"{name} {found[name]}" for name in found if name not in wanted],
        "": [
            f"{name} is {found[name]}, not {form}"
            for name, form in wanted.items()
            if found.get(name, form) != form
        ],
    }
    return "; ".join(
        start + ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for start, names in parts.items()
        if names
    )


def _named(tree: Tree) -> dict[str, Array]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named: dict[str, Array] = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name in named:
            raise ValueError(f"two leaves of the tree would both be called {name!r}")
        named[name] = leaf
    return named


def _form(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    return f"{np.dtype(dtype).name}{list(shape)}"


def _forms(path: Path) -> dict[str, str]:
    """What a file should hold, by name, from its header, if that is not longer than the file."""
    tensors = safetensors()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
        if len(start) < 8 or not 2 <= int.from_bytes(start, "little") <= min(size - 8, HEADER):
            raise ValueError("it does not begin as one")
        with tensors.safe_open(path, "np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {n: _form(DTYPES[s.get_dtype()], s.get_shape()) for n, s in slices.items()}
    except (tensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole file of parameters: {error}") from error


def safetensors() -> ModuleType:
    """Safetensors, which comes with an extra: training needs no files. ImportError says which."""
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
