"""MNIST and its kin, through TFDS's real download manager, from a server that the tests make."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import PIL.Image
import pytest
from tensorflow_datasets.core.download.checksums import UrlInfo

import backhand as bh
from backhand.data import digits, pictures, tensorflow_datasets, tfds
from backhand.models import perceptron

SHARED = Path(__file__).parents[3] / "shared" / "tfds"
STEMS = {"train": 100, "t10k": 10}


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def small() -> dict[str, bytes]:
    """A hundred pictures of 4×4 to train on and ten to test, their labels 0 … 9 in turn."""
    rng = np.random.default_rng(0)
    files = {}
    for stem, count in STEMS.items():
        files[f"{stem}-images-idx3-ubyte.gz"] = idx(rng.integers(0, 256, (count, 4, 4)))
        files[f"{stem}-labels-idx1-ubyte.gz"] = idx(np.arange(count) % 10)
    return files


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function that serves files as mnist's, registered so; returns the list of requests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with contextlib.ExitStack() as stack:

        def start(files, registered=None):
            folder = tmp_path / "server"
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            asked = []

            class Handler(http.server.SimpleHTTPRequestHandler):
                def log_message(self, *_):
                    asked.append(self.command)

            server = http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
            )
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            url = f"http://127.0.0.1:{server.server_port}"
            infos = {
                f"{url}/{name}": UrlInfo(
                    size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=name
                )
                for name, content in (registered or files).items()
            }
            monkeypatch.setattr(
                tensorflow_datasets,
                "_registered",
                lambda name, folder: (infos, tuple("0123456789")),
            )
            return asked

        yield start


def kept(folder):
    return sorted(p.name.split("_")[-1] for p in folder.rglob("*") if p.is_file())


def test_downloaded_once_then_found(serve, tmp_path):
    asked = serve(small())
    first = tfds("mnist", tmp_path / "data", seed=3)
    assert asked.count("GET") == 4
    assert {name: split.x.shape for name, split in first.splits.items()} == {
        "train": (90, 16),
        "validation": (10, 16),
        "test": (10, 16),
    }
    assert first["train"].x.dtype == np.float32
    assert first["train"].y.dtype == np.int32
    assert (first.image_shape, len(first.class_names)) == ((4, 4), 10)
    whole = tensorflow_datasets.read_idx(next((tmp_path / "server").glob("t10k-images*")))
    np.testing.assert_array_equal(first["test"].x, whole.reshape(10, 16) / np.float32(255))
    np.testing.assert_array_equal(first["test"].y, range(10))
    asked.clear()
    again = tfds("mnist", tmp_path / "data", seed=3)
    assert asked == []
    assert again.sha256 == first.sha256
    assert tfds("mnist", tmp_path / "data", seed=4).sha256 != first.sha256


def test_the_folder_of_the_environment(serve, tmp_path, monkeypatch):
    serve(small())
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    tfds("mnist")
    assert (
        len(kept(tmp_path / "elsewhere" / "downloads" / "mnist")) == 8
    )  # four, each with its .INFO


def test_a_damaged_cached_file_is_not_trusted(serve, tmp_path):
    serve(small())
    tfds("mnist", tmp_path / "data")
    file = next((tmp_path / "data").rglob("*train-images*.gz"))
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"train-images.* is damaged: its SHA-256 should be .*remove it"
    ):
        tfds("mnist", tmp_path / "data")
    file.unlink()
    tfds("mnist", tmp_path / "data")


def test_a_damaged_download_leaves_nothing(serve, tmp_path):
    files = small()
    serve(files | {"train-labels-idx1-ubyte.gz": b"not this"}, registered=files)
    with pytest.raises(
        OSError, match=r"mnist: .*train-labels.* can't be downloaded to there \(.*wrong checksum"
    ):
        tfds("mnist", tmp_path / "data")
    assert all("train-labels" not in name for name in kept(tmp_path / "data"))
    assert not list((tmp_path / "data").rglob("incomplete.*"))


def test_without_a_network(serve, tmp_path, monkeypatch):
    """The server is gone: the error says where was looked, and the two ways out, at once."""
    serve(small())
    infos, names = tensorflow_datasets._registered("mnist", tmp_path)
    away = {f"http://127.0.0.1:1/{url.rsplit('/', 1)[1]}": info for url, info in infos.items()}
    monkeypatch.setattr(tensorflow_datasets, "_registered", lambda name, folder: (away, names))
    with pytest.raises(
        OSError,
        match=r"mnist: .*data/downloads, .*\(no connection\).*--data-dir or TFDS_DATA_DIR.*digits",
    ):
        tfds("mnist", tmp_path / "data")
    assert kept(tmp_path / "data") == []


def test_a_server_that_never_answers(serve, tmp_path, monkeypatch):
    serve(small())
    monkeypatch.setattr(tensorflow_datasets, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/train-images-idx3-ubyte.gz"
        infos, names = tensorflow_datasets._registered("mnist", tmp_path)
        silence = {url: next(iter(infos.values()))}
        monkeypatch.setattr(tensorflow_datasets, "_registered", lambda *_: (silence, names))
        with pytest.raises(OSError, match=r"can't be downloaded to there \(no connection\)"):
            tfds("mnist", tmp_path / "data")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(serve, tmp_path):
    serve(small())
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"can't be downloaded to there \(.*data"):
        tfds("mnist", tmp_path / "data")


def test_a_file_where_the_folder_should_be(serve, tmp_path):
    serve(small())
    (tmp_path / "data").write_text("")
    with pytest.raises(OSError, match=r"can't be downloaded to there \(.*data"):
        tfds("mnist", tmp_path / "data")


def prepare(folder, counts, shape=(4, 4, 1), names=("a", "b")):
    """What TFDS leaves of a set prepared as ArrayRecord: random pictures, labels in turn."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core.example_serializer import ExampleSerializer
    from tensorflow_datasets.core.features import ClassLabel, FeaturesDict, Image

    version = folder / "tiny" / "1.0.0"
    version.mkdir(parents=True)
    features = FeaturesDict({"image": Image(shape=shape), "label": ClassLabel(names=list(names))})
    features.save_config(version)
    serializer = ExampleSerializer(features.get_serialized_info())
    rng, pictures, splits = np.random.default_rng(0), {}, []
    for split, count in counts.items():
        pictures[split] = rng.integers(0, 256, (count, 4, 4, shape[2])).astype(np.uint8)
        path = version / f"tiny-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for i, picture in enumerate(pictures[split]):
            png = io.BytesIO()
            PIL.Image.fromarray(picture.squeeze()).save(png, "png")
            png.seek(0)
            example = features.encode_example({"image": png, "label": i % 2})
            writer.write(serializer.serialize_example(example))
        writer.close()
        template = {"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}
        size = {"shardLengths": [str(count)], "numBytes": str(path.stat().st_size)}
        splits.append({"name": split} | template | size)
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record", "moduleName": "x"}
    info["splits"] = splits
    (version / "dataset_info.json").write_text(json.dumps(info))
    return pictures


@pytest.mark.parametrize("colours", [1, 3])
def test_a_prepared_set_by_its_name(tmp_path, colours):
    pictures = prepare(tmp_path, {"train": 20, "test": 6}, shape=(4, 4, colours))
    data = tfds("tiny", tmp_path)
    assert data.class_names == ("a", "b")
    assert data.image_shape == ((4, 4) if colours == 1 else None)
    np.testing.assert_array_equal(data["test"].x, pictures["test"].reshape(6, -1) / np.float32(255))
    np.testing.assert_array_equal(data["test"].y, [0, 1, 0, 1, 0, 1])
    assert (len(data["train"].y), len(data["validation"].y)) == (18, 2)


def test_a_prepared_set_without_a_test_set(tmp_path):
    prepare(tmp_path, {"train": 4})
    with pytest.raises(FileNotFoundError, match="with train and test, got train; with TensorFlow"):
        tfds("tiny", tmp_path)


def test_a_set_that_was_not_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cifar10 should lie prepared in .*, got nothing"):
        tfds("cifar10", tmp_path)


def test_pictures_of_many_sizes(tmp_path):
    prepare(tmp_path, {"train": 4, "test": 2}, shape=(None, None, 1))
    with pytest.raises(ValueError, match="tiny should have pictures of one size and labels"):
        tfds("tiny", tmp_path)


@pytest.mark.parametrize("load", [tfds, pictures])
def test_an_unknown_name(tmp_path, load):
    with pytest.raises(ValueError, match=r"name should be mnist, .*, or a set in .*, got 'mnits'"):
        load("mnits", tmp_path)


def test_the_digits_are_pictures():
    assert pictures("digits", seed=1).sha256 == digits(1).sha256


@pytest.mark.parametrize("name", tensorflow_datasets.NAMES)
def test_what_tfds_registers(name, tmp_path):
    infos, class_names = tensorflow_datasets._registered(name, tmp_path)
    assert sorted(url.rsplit("/", 1)[1] for url in infos) == sorted(small())
    assert len(class_names) == 10


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="left out: MNIST itself is not on this machine")
def test_mnist_itself(tmp_path):
    """All 70,000 pictures, and two layers that learn them in one epoch, to 0.967 of the tests."""
    shutil.copytree(SHARED / "downloads", tmp_path / "downloads")
    data = tfds("mnist", tmp_path)
    assert [split.x.shape for split in data.splits.values()] == [
        (54_000, 784),
        (6_000, 784),
        (10_000, 784),
    ]
    np.testing.assert_array_equal(data["test"].y[:5], [7, 2, 1, 0, 4])
    assert 0.13 < data["train"].x.mean() < 0.132
    assert np.bincount(data["validation"].y).tolist() == [
        592,
        674,
        596,
        613,
        584,
        542,
        592,
        627,
        585,
        595,
    ]

    rate = optax.cosine_decay_schedule(3e-3, 843)
    training = bh.Training(
        perceptron((256,), 10, "relu"), bh.softmax_cross_entropy, optax.adam(rate)
    )
    state = bh.init_state(training, jax.random.key(0), data["train"].x)
    state, _ = bh.make_epoch(training, batch_size=64)(state, *map(jnp.asarray, data["train"]))
    scores = bh.evaluate(training, state.params, *data["test"], [bh.accuracy])
    assert scores["accuracy"] >= 0.955
