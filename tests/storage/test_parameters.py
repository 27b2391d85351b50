"""Parameters in files: what was saved, or an error that names the file."""

import errno
import io
import json
import os
import pickle
import struct
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import backhand as bh
from backhand.storage import parameters as files

X = jax.ShapeDtypeStruct((1, 3), jnp.float32)
NET = bh.serial(bh.linear(4), bh.relu, bh.linear(2))


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    like = jax.eval_shape(NET.init, jax.random.key(0), X)
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), like)


@pytest.fixture
def path(tmp_path, params):
    files.save(tmp_path / "net.safetensors", params, {"hidden": [4], "name": "π"})
    return tmp_path / "net.safetensors"


def test_what_is_saved_is_loaded(path, params):
    loaded = files.load(path, NET, X)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)
    arrays, config = files.read(path)
    assert config == {"hidden": [4], "name": "π"}
    assert set(arrays) == {"0.w", "0.b", "2.w", "2.b"}
    assert list(path.parent.iterdir()) == [path]


def test_equal_params_make_equal_files(params):
    assert len({files.encode(files.named_arrays(params), "{}") for _ in range(20)}) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "uint32", "bool"])
def test_every_dtype_comes_back(tmp_path, dtype):
    tree = {
        "a": jnp.ones((2, 3), dtype),
        "scalar": jnp.zeros((), dtype),
        "none": jnp.zeros((0, 2), dtype),
    }
    files.save(tmp_path / "a", tree)
    arrays, config = files.read(tmp_path / "a")
    assert config == {}
    for name, a in tree.items():
        assert arrays[name].dtype == dtype
        assert arrays[name].shape == a.shape
        np.testing.assert_array_equal(arrays[name], a)


@pytest.mark.parametrize(
    ("net", "x", "said"),
    [
        (
            bh.serial(bh.linear(4), bh.relu),
            X,
            r"2\.b is float32\[2\], not wanted; 2\.w is float32\[4, 2\], not wanted",
        ),
        (
            bh.serial(NET, bh.linear(2)),
            X,
            r"0\.0\.w is missing, not float32\[3, 4\]; .* and 7 more",
        ),
        (
            bh.serial(bh.linear(5), bh.relu, bh.linear(2)),
            X,
            r"0\.w is float32\[3, 4\], not float32\[3, 5\]",
        ),
        (
            NET,
            jax.ShapeDtypeStruct((1, 3), jnp.float16),
            r"0\.w is float32\[3, 4\], not float16\[3, 4\]",
        ),
    ],
)
def test_for_a_different_net_it_says_what_differs(path, net, x, said):
    with pytest.raises(
        ValueError, match=f"load: .*net.safetensors does not suit the net: .*{said}"
    ):
        files.load(path, net, x)


SMALL = {"w": np.array([[1.5, -2.5]], np.float32), "b": np.array(3, np.int8)}


def test_a_flipped_bit_is_never_loaded(tmp_path):
    """A file with any one bit flipped is refused, or gives what was saved if it says the same."""
    path = tmp_path / "small"
    files.save(path, SMALL, {"a": [1]})
    content = path.read_bytes()
    saved = files.read(path)
    refused = []
    for bit in np.random.default_rng(0).choice(8 * len(content), 1000, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            arrays, config = files.read(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert config == saved[1]
            assert {name: a.tobytes() for name, a in arrays.items()} == {
                name: a.tobytes() for name, a in saved[0].items()
            }
    assert len(refused) >= 980
    assert all(str(path) in message for message in refused)


def test_a_file_cut_short_is_never_loaded(tmp_path):
    path = tmp_path / "small"
    files.save(path, SMALL)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="small"):
            files.read(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="small"):
        files.read(path)


class Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


def zip_bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", bytes(10_000_000))
    return content.getvalue()


def with_header(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", length or len(header)) + header


TERABYTES = {"a": {"dtype": "F32", "shape": [25 * 10**12], "data_offsets": [0, 10**14]}}
HOSTILE = {
    "a pickle": pickle.dumps(Bomb()),
    "a zip bomb": zip_bomb(),
    "a header of 100 TB": with_header(b"{}", 10**14),
    "a tensor of 100 TB": with_header(json.dumps(TERABYTES).encode()),
    "a deep header": with_header(b"[" * 200_000),
    "a file without a digest": files.encode({"0.w": np.ones(3, np.float32)}).replace(
        b"backhand", b"forehand"
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_different_file_is_refused_by_name(tmp_path, what):
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[what])
    for act in (files.read, lambda path: files.load(path, NET, X)):
        with pytest.raises(ValueError, match="hostile"):
            act(path)


def test_names_are_not_paths(tmp_path):
    (tmp_path / "net").write_bytes(files.encode({"../../escaped": np.ones(3, np.float32)}))
    assert list(files.read(tmp_path / "net")[0]) == ["../../escaped"]
    with pytest.raises(ValueError, match=r"does not suit the net: .*; and 2 more"):
        files.load(tmp_path / "net", NET, X)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_what_was_there_stays_until_the_new_is_whole(path, params, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*net\.safetensors'"):
        files.save(path, params, {"hidden": [5]})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_named_arrays_and_back(params):
    named = files.named_arrays({"net": params, "step": jnp.int32(3)})
    assert list(named) == ["net.0.w", "net.0.b", "net.2.w", "net.2.b", "step"]
    assert all(type(array) is np.ndarray for array in named.values())
    back = files.arrays_as(params, named, "net.")
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_what_differs_between_forms():
    found = files.forms({"a": np.ones(2), "b": np.ones((2, 3), np.int8), "x": np.ones(1)})
    assert found == {"a": "float64[2]", "b": "int8[2, 3]", "x": "float64[1]"}
    wanted = files.forms({"a": np.ones(3), "b": np.ones((2, 3), np.int8), "c": np.ones(2)})
    assert files.difference(found, wanted) == (
        "a is float64[2], not float64[3]; c is missing, not float64[2]; x is float64[1], not wanted"
    )
    many = {f"w{i}": "float32[1]" for i in range(5)}
    assert files.difference({}, many).endswith("; w2 is missing, not float32[1]; and 2 more")
    assert files.difference(many, many) == ""


@pytest.mark.parametrize(
    ("params", "config", "said"),
    [
        ({"a": 1.0}, None, "params should be arrays of numbers, got float of dtype none at a"),
        ({"a": np.array(["x"])}, None, "params should be .* got ndarray of dtype <U1 at a"),
        ({"a": np.ones(2)}, {"net": object()}, "config should be what JSON can hold"),
    ],
)
def test_what_no_file_can_hold(tmp_path, params, config, said):
    with pytest.raises(TypeError, match=f"save: {said}"):
        files.save(tmp_path / "a", params, config)
    assert list(tmp_path.iterdir()) == []


def test_two_leaves_of_one_name(tmp_path):
    with pytest.raises(ValueError, match=r"two leaves of the tree would both be called 'a\.b'"):
        files.save(tmp_path / "a", {"a.b": np.ones(1), "a": {"b": np.ones(1)}})


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        files.load(tmp_path / "absent", NET, X)


def test_without_safetensors_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'backhand\[cli\]'"):
        bh.save(tmp_path / "p.safetensors", {"w": np.ones(3)})
