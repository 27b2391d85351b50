"""MNIST and its kin through TensorFlow Datasets, without TensorFlow.

TFDS knows the addresses and checksums of the original files, and its download manager fetches and
caches them. Preparing a dataset as TFDS does needs TensorFlow; these are IDX files, which need only
numpy.
"""

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backhand.data.dataset import Dataset, Split
from backhand.data.idx import read_idx

NAMES = ("mnist", "fashion_mnist", "kmnist")
VALIDATION = 10  # one training example in this many is kept for validation
PATIENCE = 10.0  # seconds for a server's first answer; TFDS alone would try for minutes


class Pictures(NamedTuple):
    """Training and test pictures with their labels, as they are stored, and the class names."""

    train: Split
    test: Split
    class_names: tuple[str, ...]


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
    set has that name, it is not pictures with labels, or a file is damaged; OSError, within 15
    seconds, if a file can be neither found nor downloaded. LeCun, Cortes and Burges, 1998; Xiao,
    Rasul and Vollgraf, 2017; Clanuwat et al., 2018.
    """
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    folder = Path(data_dir or default).expanduser()
    stored = (_original if name in NAMES else _prepared)(name, folder)

    from sklearn.model_selection import train_test_split

    def examples(images: np.ndarray, labels: np.ndarray) -> Split:
        x = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        return Split(x, labels.astype(np.int32))

    x, y = examples(*stored.train)
    train_x, val_x, train_y, val_y = train_test_split(
        x, y, test_size=len(x) // VALIDATION, stratify=y, random_state=seed
    )
    splits = {
        "train": Split(train_x, train_y),
        "validation": Split(val_x, val_y),
        "test": examples(*stored.test),
    }
    height, width, *colours = stored.train.x.shape[1:]
    image_shape = (height, width) if colours in ([], [1]) else None
    return Dataset(name, splits, stored.class_names, image_shape)


def _original(name: str, folder: Path) -> Pictures:
    """What the original IDX files hold."""
    url_infos, class_names = _registered(name, folder)
    files = _fetch(name, url_infos, folder / "downloads")
    for url, url_info in url_infos.items():
        _verify(name, files[_file_name(url)], url_info.checksum)

    def labelled(stem: str) -> Split:
        images = read_idx(files[f"{stem}-images-idx3-ubyte.gz"], dimensions=3)
        labels = read_idx(files[f"{stem}-labels-idx1-ubyte.gz"], dimensions=1)
        if len(images) != len(labels):
            counts = f"{len(images)} {stem} images and {len(labels)} labels"
            raise ValueError(f"{name}: there are {counts}")
        return Split(images, labels)

    return Pictures(labelled("train"), labelled("t10k"), class_names)


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
        return Pictures(labelled("train"), labelled("test"), tuple(class_names))
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


def _file_name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _fetch(name: str, url_infos: Mapping[str, Any], downloads: Path) -> dict[str, Path]:
    """Where each file is, by its name; what is missing is downloaded first."""

    def cached() -> dict[str, Path]:
        found = {u: _cached(name, u, info.checksum, downloads) for u, info in url_infos.items()}
        return {url: path for url, path in found.items() if path is not None}

    missing = [url for url in url_infos if url not in cached()]
    if missing:
        _download(name, missing, url_infos, downloads)
    return {_file_name(url): path for url, path in cached().items()}


def _cached(name: str, url: str, checksum: str, downloads: Path) -> Path | None:
    """Where TFDS's download manager keeps a file, in its present layout or the one before."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    file_name = get_dl_fname(url, checksum)
    places = (downloads / name / file_name, downloads / file_name)
    return next((path for path in places if path.exists()), None)


def _download(
    name: str, urls: Sequence[str], url_infos: Mapping[str, Any], downloads: Path
) -> None:
    """Download files by TFDS's manager into a folder of their own, then move them to its cache."""
    import tensorflow_datasets

    try:
        downloads.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="incomplete.", dir=downloads)
    except OSError as error:
        reason = f"that folder can't be written ({error.strerror})"
        raise OSError(_ways_out(name, downloads, reason)) from error
    if not sys.stderr.isatty():
        tensorflow_datasets.disable_progress_bar()
    (downloads / name).mkdir(exist_ok=True)
    with scratch:
        manager = tensorflow_datasets.download.DownloadManager(
            download_dir=scratch.name, url_infos=dict(url_infos), dataset_name=name
        )
        for url in urls:  # one after the other: when one fails, no other is still being written
            try:
                _check_reachable(url)
                manager.download(url)
            except Exception as error:  # TFDS lets through whatever its libraries raise
                reason = f"{url} can't be downloaded ({' '.join(str(error).split())})"
                raise OSError(_ways_out(name, downloads, reason)) from error
            for file in sorted(Path(scratch.name, name).glob("*.gz*")):
                file.replace(downloads / name / file.name)


def _check_reachable(url: str) -> None:
    """Raise TimeoutError or ConnectionError unless the url's server answers within PATIENCE."""
    import requests

    answer: list[Exception | None] = []

    def ask() -> None:
        try:
            requests.head(url, timeout=PATIENCE)
            answer.append(None)
        except requests.RequestException as error:
            answer.append(error)

    # A thread, since looking up a host's name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not answer:
        raise TimeoutError(f"no answer in {PATIENCE:g} s")
    if answer[0] is not None:
        raise ConnectionError("no connection") from answer[0]


def _verify(name: str, file: Path, checksum: str) -> None:
    """Raise ValueError unless the file's SHA-256 is the registered one."""
    with file.open("rb") as content:
        got = hashlib.file_digest(content, "sha256").hexdigest()
    if got != checksum:
        raise ValueError(
            f"{name}: {file} is damaged: its SHA-256 should be {checksum}, got {got}; remove it, "
            f"and it will be downloaded again"
        )


def _ways_out(name: str, downloads: Path, reason: str) -> str:
    return (
        f"{name}: its files are not all in {downloads}, and {reason}. Name the folder that has "
        f"downloads/ in it by --data-dir or TFDS_DATA_DIR, or use the digits, which need no "
        f"download"
    )
