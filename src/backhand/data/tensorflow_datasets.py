"""Pictures with labels: MNIST and its kin through TensorFlow Datasets, without TensorFlow.

TFDS knows the addresses and checksums of the original files, and its download manager fetches and
caches them. Preparing a dataset as TFDS does needs TensorFlow; these are IDX files, which need only
numpy.
"""

import gzip
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from backhand.data.dataset import Dataset, Split
from backhand.data.scikit_learn import digits, stratified

NAMES = ("mnist", "fashion_mnist", "kmnist")
VALIDATION = 10  # one training example in this many is kept for validation
PATIENCE = 10.0  # seconds for a server's first answer; TFDS alone would try for minutes


# Training and test pictures with their labels, as they are stored, and the class names.
Pictures: TypeAlias = tuple[Split, Split, tuple[str, ...]]


def tfds(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0) -> Dataset:
    """Pictures with labels: `mnist`, `fashion_mnist` or `kmnist`, or any set TFDS has prepared.

    x (examples, pixels) is float32, ink from 0 to 1 (the files' 0 … 255, divided); y (examples,) is
    int32. A tenth of the original training set, stratified and drawn by `seed`, an integer ≥ 0, is
    for validation: of MNIST and its kin 54,000 train, 6,000 validate. The test set is the original
    one, there of 10,000.

    MNIST's four files, or its kin's, are looked for in `data_dir`/downloads, else in the folder
    that TFDS_DATA_DIR names, else in ~/tensorflow_datasets, and downloaded to there if need be. The
    SHA-256 of each is compared with the one that TFDS registers every time it is used: TFDS itself
    trusts a cached file. Any other set must have been prepared there as ArrayRecord
    (`download_and_prepare(file_format="array_record")`, which takes TensorFlow), with pictures of
    one size.

    Raises ImportError, with what to install, if tensorflow-datasets is missing; ValueError if no
    set has that name, it is not pictures with labels, or a file is damaged; OSError, within a
    minute, if a file can be neither found nor downloaded. LeCun, Cortes and Burges, 1998; Xiao,
    Rasul and Vollgraf, 2017; Clanuwat et al., 2018.
    """
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(f"tfds: name should be of lower-case letters, digits and _, got {name!r}")
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    folder = Path(data_dir or default).expanduser()
    stored_train, stored_test, names = (_original if name in NAMES else _prepared)(name, folder)

    def examples(images: np.ndarray, labels: np.ndarray) -> Split:
        x = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        return Split(x, labels.astype(np.int32))

    x, y = examples(*stored_train)
    train, validation = stratified(x, y, len(x) // VALIDATION, seed)
    splits = {"train": train, "validation": validation, "test": examples(*stored_test)}
    height, width, *colours = stored_train.x.shape[1:]
    image_shape = (height, width) if colours in ([], [1]) else None
    return Dataset(name, splits, names, image_shape)


def pictures(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0) -> Dataset:
    """`digits`, which need no network, or what `tfds` knows by that name; raises as those do."""
    return digits(seed) if name == "digits" else tfds(name, data_dir, seed)


def _original(name: str, folder: Path) -> Pictures:
    """What the original IDX files hold; what is missing of them is downloaded first."""
    url_infos, class_names = _registered(name, folder)
    downloads = folder / "downloads"

    from tensorflow_datasets.core.download.resource import get_dl_fname

    files = {}
    for url, info in url_infos.items():
        cached = get_dl_fname(url, info.checksum)
        places = (downloads / name / cached, downloads / cached)  # TFDS's, and its former one
        there = [path for path in places if path.exists()]
        file = there[0] if there else _download(name, url, url_infos, downloads)
        got = hashlib.sha256(file.read_bytes()).hexdigest()
        if got != info.checksum:
            raise ValueError(
                f"{name}: {file} is damaged: its SHA-256 should be {info.checksum}, got {got}; "
                f"remove it, and it will be downloaded again"
            )
        files[url.rsplit("/", 1)[1]] = file

    def labelled(stem: str) -> Split:
        images, labels = f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz"
        return Split(read_idx(files[images]), read_idx(files[labels]))

    return labelled("train"), labelled("t10k"), class_names


def read_idx(path: Path) -> np.ndarray:
    """The unsigned bytes of a gzipped IDX file, which was verified.

    The header is two zero bytes, the type (8, unsigned byte), the number of dimensions, and the
    size of each, four bytes big-endian (LeCun, Cortes and Burges, "The MNIST database of
    handwritten digits").
    """
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + shape.nbytes).reshape(shape)


def _prepared(name: str, folder: Path) -> Pictures:
    """The same of a set that TFDS has prepared as ArrayRecord."""
    tensorflow_datasets = _tensorflow_datasets(name)
    try:
        builder = tensorflow_datasets.builder(name, data_dir=folder, try_gcs=False)
    except (tensorflow_datasets.core.registered.DatasetNotFoundError, ValueError) as error:
        known = f"{', '.join(NAMES)}, or a set in {folder}"
        raise ValueError(f"tfds: name should be {known}, got {name!r}") from error
    features, there = builder.info.features, builder.info.splits
    if not {"train", "test"} <= set(there):
        raise FileNotFoundError(
            f"{name} should lie prepared in {folder}, with train and test, got "
            f"{', '.join(there) or 'nothing'}; with TensorFlow, tfds.builder({name!r})"
            f".download_and_prepare(file_format='array_record') prepares it"
        )
    shape = getattr(dict(features.items()).get("image"), "shape", (None,))
    class_names = getattr(dict(features.items()).get("label"), "names", None)
    if None in shape or class_names is None:
        raise ValueError(f"{name} should have pictures of one size and labels, got {features}")

    def labelled(split: str) -> Split:
        source = builder.as_data_source(split=split)
        pairs = [(example["image"], example["label"]) for example in source]
        images, labels = zip(*pairs, strict=True)
        return Split(np.stack(images), np.array(labels))

    try:
        return labelled("train"), labelled("test"), tuple(class_names)
    except NotImplementedError as error:
        says = " ".join(str(error).split())
        raise ValueError(f"{name} should be prepared as ArrayRecord: {says}") from error


def _tensorflow_datasets(name: str) -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        says = f"{name} comes through tensorflow-datasets: pip install 'backhand[data]'"
        raise ImportError(says) from error
    return tensorflow_datasets


def _registered(name: str, folder: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What TFDS registers: the files' sizes and checksums by their addresses, and class names."""
    builder = _tensorflow_datasets(name).builder(name, data_dir=folder)
    return builder.url_infos, tuple(builder.info.features["label"].names)


def _download(name: str, url: str, url_infos: Mapping[str, Any], downloads: Path) -> Path:
    """Download a file by TFDS's manager into a folder of its own, then move it to TFDS's cache."""
    import requests
    import tensorflow_datasets

    if not sys.stderr.isatty():
        tensorflow_datasets.disable_progress_bar()
    try:
        (downloads / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=downloads) as scratch:
            requests.head(url, timeout=PATIENCE)
            manager = tensorflow_datasets.download.DownloadManager(
                download_dir=scratch, url_infos=dict(url_infos), dataset_name=name
            )
            file = Path(manager.download(url))
            for part in (file.with_name(f"{file.name}.INFO"), file):  # TFDS wants its notes, too
                part.replace(downloads / name / part.name)
            return downloads / name / file.name
    except Exception as error:  # TFDS lets through whatever its libraries raise
        offline = isinstance(error, requests.ConnectionError | requests.Timeout)
        reason = "no connection" if offline else " ".join(str(error).split())
        raise OSError(
            f"{name}: {url} is not in {downloads}, and can't be downloaded to there ({reason}). "
            f"Name the folder that has downloads/ in it by --data-dir or TFDS_DATA_DIR, or use the "
            f"digits, which need no download"
        ) from error
