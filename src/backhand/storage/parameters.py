"""Parameters in files: written whole or not at all, and read only as they were written.

A file is safetensors: names, dtypes, shapes and bytes, and nothing that runs. Its metadata hold a
config, as JSON, and a SHA-256 of everything, which safetensors itself lacks.
"""

import json
import os
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Array, Layer, Params, Shaped, Tree
from backhand.storage import atomic
from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON, as_json

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
    for name, leaf in _named(params).items():
        if not isinstance(leaf, jax.Array | np.ndarray) or leaf.dtype not in DTYPES.values():
            got = f"{type(leaf).__name__} of dtype {getattr(leaf, 'dtype', 'none')} at {name}"
            raise TypeError(f"save: params should be arrays of numbers, got {got}")
    atomic.write(path, encode(named_arrays(params), as_json("save", config or {})))


def load(path: str | os.PathLike[str], net: Layer, x: Shaped) -> Params:
    """The params in a file that `save` wrote, for a net with inputs like x (batch, …).

    Raises ValueError that says what differs if names, shapes or dtypes are not those that
    `net.init` gives, or if the file is damaged or not one that `save` wrote; OSError if it is not
    there. Nothing in the file is run.
    """
    checks.layers("load", [net])
    checks.array("load", "x", x)
    like = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct(x.shape, x.dtype))
    arrays, _ = read(path)
    found, wanted = forms(arrays), forms(like)
    if found != wanted:
        raise ValueError(f"load: {path} does not suit the net: {difference(found, wanted)}")
    return jax.tree.map(jnp.asarray, arrays_as(like, arrays))


def encode(arrays: Mapping[str, np.ndarray], config: str = "{}") -> bytes:
    """A file's content: arrays by name, and a config in JSON."""
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    # safetensors writes several entries in any order; one keeps equal runs' files equal.
    metadata = {"backhand": json.dumps([config, _digest(contiguous, config)])}
    content: bytes = safetensors().numpy.save(contiguous, metadata)
    return content


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], JSON]:
    """The arrays in a file that `save` wrote, by name, and the config.

    Raises ValueError if it is damaged or not such a file, OSError if it is not there.
    """
    tensors = safetensors()
    with Path(path).open("rb") as file:
        # Damage can turn the header into anything that JSON can hold.
        try:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, HEADER)))
            config, digest = json.loads(header["__metadata__"]["backhand"])
            file.seek(0)  # only what begins as such a file is read whole
            arrays = {}
            for name, tensor in sorted(tensors.deserialize(file.read()), key=itemgetter(0)):
                array = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]])
                arrays[name] = array.reshape(tensor["shape"])
            if digest != _digest(arrays, config):
                raise ValueError("the SHA-256 in it is not that of its content")
            return arrays, json.loads(config)
        except (
            tensors.SafetensorError, AttributeError, LookupError, RecursionError, TypeError,
            ValueError,
        ) as error:  # fmt: skip
            raise ValueError(f"{path} is not a whole file of parameters: {error}") from error


def named_arrays(tree: Tree) -> dict[str, np.ndarray]:
    """A tree's arrays by their path in it: {"0.w": …, "0.b": …} for serial(linear(…)).

    Raises ValueError if two paths read the same.
    """
    return {name: np.asarray(leaf) for name, leaf in _named(tree).items()}


def arrays_as(tree: Tree, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Tree:
    """The reverse: a tree like this one, of the arrays named by `prefix` and their path."""
    leaves = [arrays[prefix + name] for name in _named(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def forms(tree: Tree) -> dict[str, str]:
    """A tree's arrays by path, each by dtype and shape: {"0.w": "float32[784, 10]", …}."""
    named = _named(tree).items()
    return {name: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for name, leaf in named}


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Where the two differ, both from `forms`: at most three names, and how many more there are."""
    names = [n for n in {**wanted, **found} if found.get(n) != wanted.get(n)]
    said = [f"{n} is {found.get(n, 'missing')}, not {wanted.get(n, 'wanted')}" for n in names[:3]]
    return "; ".join(said) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _named(tree: Tree) -> dict[str, Array]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named: dict[str, Array] = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name in named:
            raise ValueError(f"two leaves of the tree would both be called {name!r}")
        named[name] = leaf
    return named


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
