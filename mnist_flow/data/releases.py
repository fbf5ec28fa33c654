"""Published data sets: IDX files from a path, from the cache or downloaded and checked, and what Keras itself loads."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from mnist_flow.data.dataset import RawData
from mnist_flow.data.idx import parse_idx, read_idx
from mnist_flow.data.npz import read_npz
from mnist_flow.errors import DataError
from mnist_flow.runtime.native_output import native_stderr_hidden

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_INPUT_SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web."""

    url: str
    file_hash: str  # hexadecimal: SHA-256 or MD5

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Release:
    """A data set as it was published."""

    title: str
    class_names: tuple[str, ...]
    sizes: tuple[int, int]  # images of the training and the test part
    idx_names: tuple[str, ...]  # of x_train, y_train, x_test, y_test, each with .gz at its end
    downloads: tuple[RemoteFile, ...]  # these files, or one .zip that holds them
    cache_folder: str  # below `datasets` in Keras's cache
    first_label: int = 0
    transposed: bool = False  # whether its IDX files exchange the rows and columns of an image

    @property
    def remedies(self) -> str:
        """How it can be had, for the end of a message."""
        return (
            f"Remedies: data.path=X (an .npz with {' '.join(_KEYS)}, or a folder or .zip with "
            f"{' '.join(self.idx_names)}), or a network connection for the download."
        )


def load_release(release: Release, path: str | None = None) -> RawData:
    """Load a published data set.

    Args:
        path: an .npz file with the arrays x_train, y_train, x_test and y_test, images upright and labels from 0; or a
            folder or .zip with the published files. None looks in Keras's cache, then downloads; hashes are checked.

    Raises:
        DataError: the data can't be had, or are not what was published; the message names every remedy.
    """
    source, arrays = _read(release, path)
    raw = RawData(source, _INPUT_SHAPE, release.class_names, **arrays, remedies=release.remedies)
    return check_sizes(raw, release.title, release.sizes)


def fetch_file(file: RemoteFile, release: Release) -> Path:
    """Find a file in Keras's cache, or download it there; its hash is checked in both cases.

    Raises:
        DataError: the download failed, or its hash is another; the message names every remedy.
    """
    with native_stderr_hidden():
        import keras

    folder = f"datasets/{release.cache_folder}"
    try:
        return Path(keras.utils.get_file(file.name, file.url, file_hash=file.file_hash, cache_subdir=folder))
    except Exception as error:
        raise DataError(
            f"{release.title} is not in Keras's cache and the download of {file.url} failed "
            f"({str(error).splitlines()[0]}). {release.remedies}"
        ) from error


def _read(release: Release, path: str | None) -> tuple[str, dict[str, np.ndarray]]:
    """Where the arrays are from, and the arrays: images upright, labels from 0."""
    if path is None:
        files = [fetch_file(file, release) for file in release.downloads]
        source = release.downloads[0].url.rpartition("/")[0]
        is_archive = len(files) == 1
    else:
        place = Path(path).expanduser()
        is_archive, is_folder = place.suffix == ".zip" and place.is_file(), place.is_dir()
        if not is_archive and not is_folder:
            return read_npz(path, release.remedies)
        source, files = str(place.resolve()), [place]
        if is_folder:
            files = [_find_file(place, name, release) for name in release.idx_names]
    read = _read_archive(files[0], release) if is_archive else [read_idx(file) for file in files]
    arrays = dict(zip(_KEYS, read, strict=True))
    for key, name in zip(_KEYS, release.idx_names, strict=True):
        if arrays[key].ndim != (3 if key.startswith("x") else 1):
            what = "images" if key.startswith("x") else "labels"
            raise DataError(f"{source}: {name} holds {arrays[key].shape}, which are no {what}. {release.remedies}")
        if key.startswith("y"):
            arrays[key] = arrays[key].astype(np.int64) - release.first_label
        elif release.transposed:
            arrays[key] = arrays[key].transpose(0, 2, 1)
    return source, arrays


def _find_file(folder: Path, name: str, release: Release) -> Path:
    """A file of a folder, plain or compressed."""
    for file in (folder / name.removesuffix(".gz"), folder / name):
        if file.is_file():
            return file
    raise DataError(f"{folder}: has no {name}. {release.remedies}")


def _read_archive(file: Path, release: Release) -> list[np.ndarray]:
    """The arrays of a .zip, in whose folders the files may lie."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.rpartition("/")[2]: member for member in archive.namelist()}
            if missing := [name for name in release.idx_names if name not in members]:
                raise DataError(f"{file}: holds no {' '.join(missing)}. {release.remedies}")
            return [parse_idx(archive.read(members[name]), f"{file}, {name}") for name in release.idx_names]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{file}: damaged or cut short ({error}). {release.remedies}") from error


def load_of_keras(name: str, title: str, remedies: str, path: str | None) -> tuple[str, dict[str, np.ndarray]]:
    """Load a data set from an .npz file, or else from Keras's cache or the network; Keras checks the hash.

    Args:
        name: of the module in `keras.datasets`.
        title: of the data set in messages.
        remedies: how the data can be had otherwise, the end of the message.
        path: of the file, with x_train, y_train, x_test and y_test; None: Keras's.

    Returns:
        Where the arrays are from, and the arrays by name, as Keras has them.

    Raises:
        DataError: the file can't be read; or they are not in the cache, and the download failed.
    """
    if path is not None:
        return read_npz(path, remedies)
    with native_stderr_hidden():
        module = import_module(f"keras.datasets.{name}")
    try:
        train, test = module.load_data()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{title} is not in Keras's cache and the download failed ({reason}). {remedies}") from error
    return f"keras.datasets.{name}", dict(zip(_KEYS, (*train, *test), strict=True))


def check_sizes(raw: RawData, title: str, sizes: tuple[int, int]) -> RawData:
    """Return a data set whose training and test part have as many images as were published.

    Raises:
        DataError: they have not.
    """
    found = len(raw.x_train), len(raw.x_test)
    if found != sizes:
        has, wanted = (f"{train:,} training and {test:,} test images" for train, test in (found, sizes))
        raise DataError(f"{raw.source}: has {has}, but {title} has {wanted}. {raw.remedies}")
    return raw
