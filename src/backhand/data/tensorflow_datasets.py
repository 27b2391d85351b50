"""MNIST and its kin through TensorFlow Datasets, without TensorFlow.

TFDS knows the addresses and checksums of the original files, and its download manager fetches and caches
them. Preparing a dataset as TFDS does needs TensorFlow; these are IDX files, which need only numpy.
"""

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from backhand.data.dataset import Dataset, Split
from backhand.data.idx import read_idx

NAMES = ("mnist", "fashion_mnist", "kmnist")
VALIDATION = 10  # one training example in so many is kept for validation
PATIENCE = 10.0  # seconds for a server's first answer; TFDS alone would try for minutes

Labelled: TypeAlias = tuple[np.ndarray, np.ndarray]


def tfds(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0) -> Dataset:
    """Pictures with labels: `mnist`, `fashion_mnist` or `kmnist`, or any set of TFDS that lies there prepared.

    x (examples, pixels) is float32, ink from 0 to 1 (the files' 0 … 255, divided); y (examples,) is int32. A
    tenth of the original training set, stratified and drawn by `seed`, an integer ≥ 0, is for validation: of
    MNIST and its kin 54,000 train, 6,000 validate. The test set is the original one, there of 10,000.

    MNIST's four files, or its kin's, are looked for in `data_dir`/downloads, else in the folder that
    TFDS_DATA_DIR names, else in ~/tensorflow_datasets, and downloaded to there if need be. The SHA-256 of each is
    compared with the one that TFDS registers each time, before it is used: TFDS itself trusts a cached file.
    Another set should have been prepared there as ArrayRecord (`download_and_prepare(file_format="array_record")`,
    which takes TensorFlow), with pictures of one size.

    Raises ImportError, with what to install, where tensorflow-datasets is missing; ValueError where no set has
    that name, it holds something else, or a file is damaged; OSError, within 15 seconds, where a file can be
    neither found nor downloaded. LeCun, Cortes and Burges, 1998; Xiao, Rasul and Vollgraf, 2017; Clanuwat et al., 2018.
    """
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if name in NAMES:
        train, test, class_names = _original(name, folder)
    else:
        train, test, class_names = _prepared(name, folder)

    from sklearn.model_selection import train_test_split

    def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255), labels.astype(np.int32)

    x, y = examples(*train)
    train_x, val_x, train_y, val_y = train_test_split(
        x, y, test_size=len(x) // VALIDATION, stratify=y, random_state=seed
    )
    splits = {
        "train": Split(train_x, train_y),
        "validation": Split(val_x, val_y),
        "test": Split(*examples(*test)),
    }
    height, width, *colours = train[0].shape[1:]
    return Dataset(name, splits, class_names, (height, width) if colours in ([], [1]) else None)


def _original(name: str, folder: Path) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Train and test, images and labels as they are in the original IDX files, and the class names."""
    url_infos, class_names = _registered(name, folder)
    files = _fetch(name, url_infos, folder / "downloads")
    for url, url_info in url_infos.items():
        _verify(name, files[url.rsplit("/", 1)[1]], url_info)

    def labelled(stem: str) -> Labelled:
        images = read_idx(files[f"{stem}-images-idx3-ubyte.gz"], dimensions=3)
        labels = read_idx(files[f"{stem}-labels-idx1-ubyte.gz"], dimensions=1)
        if len(images) != len(labels):
            raise ValueError(f"{name}: there are {len(images)} {stem} images and {len(labels)} labels")
        return images, labels

    return labelled("train"), labelled("t10k"), class_names


def _prepared(name: str, folder: Path) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """The same of a set that TFDS has prepared as ArrayRecord."""
    tensorflow_datasets = _tensorflow_datasets(name)
    try:
        builder = tensorflow_datasets.builder(name, data_dir=folder, try_gcs=False)
    except (tensorflow_datasets.core.registered.DatasetNotFoundError, ValueError) as error:
        raise ValueError(
            f"tfds: name should be {', '.join(NAMES)}, or a set in {folder}, got {name!r}"
        ) from error
    features, there = builder.info.features, builder.info.splits
    if not {"train", "test"} <= set(there):
        raise FileNotFoundError(
            f"{name} should lie prepared in {folder}, with train and test, got {', '.join(there) or 'nothing'}; with "
            f"TensorFlow, tfds.builder({name!r}).download_and_prepare(file_format='array_record') prepares it"
        )
    shape = getattr(dict(features.items()).get("image"), "shape", (None,))
    class_names = getattr(dict(features.items()).get("label"), "names", None)
    if None in shape or class_names is None:
        raise ValueError(f"{name} should have pictures of one size and labels, got {features}")

    def labelled(split: str) -> Labelled:
        source = builder.as_data_source(split=split)
        pairs = [(example["image"], example["label"]) for example in source]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.array(labels)

    try:
        return labelled("train"), labelled("test"), tuple(class_names)
    except NotImplementedError as error:
        raise ValueError(
            f"{name} should be prepared as ArrayRecord: {' '.join(str(error).split())}"
        ) from error


def _tensorflow_datasets(name: str) -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f"{name} comes through tensorflow-datasets: pip install 'backhand[data]'"
        ) from error
    return tensorflow_datasets


def _registered(name: str, folder: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What TFDS registers for a dataset: its files' sizes and checksums by their addresses, and its class names."""
    builder = _tensorflow_datasets(name).builder(name, data_dir=folder)
    return builder.url_infos, tuple(builder.info.features["label"].names)


def _fetch(name: str, url_infos: Mapping[str, Any], downloads: Path) -> dict[str, Path]:
    """Where each file is, by its name; what is not there is downloaded first."""

    def cached() -> dict[str, Path | None]:
        return {url: _cached(name, url, url_info, downloads) for url, url_info in url_infos.items()}

    missing = [url for url, path in cached().items() if path is None]
    if missing:
        _download(name, missing, url_infos, downloads)
    return {url.rsplit("/", 1)[1]: path for url, path in cached().items() if path is not None}


def _cached(name: str, url: str, url_info: Any, downloads: Path) -> Path | None:
    """Where TFDS's download manager keeps a file, in its present layout or the one before, if it is there."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    file_name = get_dl_fname(url, url_info.checksum)
    return next(
        (path for path in (downloads / name / file_name, downloads / file_name) if path.exists()), None
    )


def _download(name: str, urls: Sequence[str], url_infos: Mapping[str, Any], downloads: Path) -> None:
    """Download files by TFDS's manager into a folder of their own, then move them to where it keeps them."""
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
        for url in urls:  # one after the other: when one fails, nothing else is still being written
            try:
                _check_reachable(url)
                manager.download(url)
            except Exception as error:  # TFDS lets through whatever its libraries raise
                reason = f"{url} can't be downloaded ({' '.join(str(error).split())})"
                raise OSError(_ways_out(name, downloads, reason)) from error
            for file in sorted(Path(scratch.name, name).glob("*.gz*")):
                file.replace(downloads / name / file.name)


def _check_reachable(url: str) -> None:
    """Raise TimeoutError or ConnectionError unless the url's server answers soon; TFDS would try for minutes."""
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


def _verify(name: str, file: Path, url_info: Any) -> None:
    """Raise ValueError unless the file's SHA-256 is the registered one."""
    with file.open("rb") as content:
        got = hashlib.file_digest(content, "sha256").hexdigest()
    if got != url_info.checksum:
        raise ValueError(
            f"{name}: {file} is damaged: its SHA-256 should be {url_info.checksum}, got {got}; "
            f"remove it, and it will be downloaded again"
        )


def _ways_out(name: str, downloads: Path, reason: str) -> str:
    return (
        f"{name}: its files are not all in {downloads}, and {reason}. Name the folder that has downloads/ in it "
        f"by --data-dir or TFDS_DATA_DIR, or use the digits, which need no download"
    )
