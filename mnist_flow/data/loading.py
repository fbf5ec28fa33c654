"""Load, check, scale and split the images."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_flow.data.arrays import IntArray
from mnist_flow.data.dataset import DataSet, DatasetInfo, Images, Splits
from mnist_flow.errors import DataError
from mnist_flow.runtime.native_output import native_stderr_hidden

N_CLASSES = 10
IMAGE_SHAPE = (28, 28, 1)

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_REMEDIES = (
    "Remedies: data.path=FILE.npz or the environment variable MNIST_NPZ=FILE.npz (an .npz with x_train y_train x_test "
    "y_test), a network connection for the download, or data=digits, which needs neither."
)


class _Bytes(NamedTuple):
    images: NDArray[np.uint8]  # (n, 28, 28, 1)
    labels: IntArray  # (n,), 0 to 9


@dataclass(frozen=True, eq=False)
class _Published(DatasetInfo):
    """A data set in its bytes, a quarter of the size: what stays in memory, whatever is made of it."""

    train: _Bytes
    test: _Bytes


def load_info(name: str, path: str | None = None) -> DatasetInfo:
    """What there is to know of a data set without scaling its images.

    Args:
        name: mnist or digits.
        path: an .npz file with MNIST; None looks in Keras's cache, then downloads.

    Raises:
        DataError: the data can't be had or is malformed; the message names every remedy.
    """
    return _load(name, path)


def load_data_set(name: str, path: str | None = None) -> DataSet:
    """Load a data set; the last two stay in memory, so that a process reads each once.

    Args:
        name: mnist or digits.
        path: an .npz file with MNIST; None looks in Keras's cache, then downloads.

    Raises:
        DataError: the data can't be had or is malformed; the message names every remedy.
    """
    return _scale_data_set(_load(name, path))


def load_splits(
    name: str,
    path: str | None,
    validation: Literal["holdout", "test"],
    holdout_size: int,
    split_seed: int,
    factor: float = 1.0,
) -> Splits:
    """Load a data set and choose the validation images; the last splits stay in memory, for the next job of a sweep.

    Args:
        name: mnist or digits.
        path: an .npz file with MNIST; None looks in Keras's cache, then downloads.
        validation: `holdout` takes stratified training images out; `test` validates on the test set, which makes every
            choice made on it optimistic (the protocol of all five reports).
        holdout_size: images held out, with `holdout`.
        split_seed: seeds the choice, with `holdout`.
        factor: all pixels are multiplied by it, those of the test set included: 1/255 repeats the mistake of report
            003-2C.

    Raises:
        DataError: the data can't be had or is malformed, or its training part is too small for the hold-out.
    """
    return _make_splits(_load(name, path), validation, holdout_size, split_seed, factor)


def choose_holdout(
    info: DatasetInfo, labels: IntArray, holdout_size: int, split_seed: int
) -> tuple[IntArray, IntArray]:
    """Take out the same share of each digit, by chance.

    Args:
        info: for the message.
        labels: int64 (n,) of the training images.
        holdout_size: images to take out.
        split_seed: of the choice.

    Returns:
        Ascending indices of the images that are kept and of those held out.

    Raises:
        DataError: there are too few images.
    """
    if not N_CLASSES <= holdout_size <= len(labels) - N_CLASSES:
        raise DataError(
            f"data.holdout_size={holdout_size}: must be from {N_CLASSES} to {len(labels) - N_CLASSES} "
            f"for the {len(labels)} training images of {info.name}"
        )
    # Takes seconds to import, and a sweep's main process splits nothing.
    from sklearn.model_selection import train_test_split

    try:
        kept, held_out = train_test_split(
            np.arange(len(labels)), test_size=holdout_size, random_state=split_seed, stratify=labels
        )
    except ValueError as error:
        raise DataError(f"data.holdout_size={holdout_size}: can't hold out a share of each digit ({error})") from error
    return np.sort(kept), np.sort(held_out)


@lru_cache(maxsize=1)
def _make_splits(
    published: _Published, validation: Literal["holdout", "test"], holdout_size: int, split_seed: int, factor: float
) -> Splits:
    # The last splits make room before there are new ones.
    _make_splits.cache_clear()
    train, test = published.train, _scale(published.test, factor)
    if validation == "test":
        return Splits(_scale(train, factor), test, test)
    kept, held_out = (
        _Bytes(train.images[chosen], train.labels[chosen])
        for chosen in choose_holdout(published, train.labels, holdout_size, split_seed)
    )
    return Splits(_scale(kept, factor), _scale(held_out, factor), test)


@lru_cache(maxsize=2)
def _scale_data_set(published: _Published) -> DataSet:
    train, test = _scale(published.train), _scale(published.test)
    info = published.name, published.source, published.digest, published.input_shape, published.class_names
    return DataSet(*info, train, test)


def _scale(part: _Bytes, factor: float = 1.0) -> Images:
    """Bytes to 0 to 1, or to 0 to `factor`."""
    images = part.images.astype(np.float32)
    # In place: MNIST's training images are 188 MB.
    images /= np.float32(255)
    if factor != 1:
        images *= np.float32(factor)
    images.setflags(write=False)
    part.labels.setflags(write=False)
    return Images(images, part.labels)


def _load(name: str, path: str | None) -> _Published:
    if name == "digits":
        return _load_digits()
    if path is None:
        return _load_mnist_of_keras()
    try:
        file = Path(path).expanduser()
        found = file.is_file()
    except (OSError, RuntimeError):  # a name too long, an unknown ~user
        found = False
    if not found:
        raise DataError(f"data.path={path}: no such file. {_REMEDIES}")
    status = file.stat()
    return _load_mnist_file(str(file.resolve()), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _load_digits() -> _Published:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    # 8×8 values 0 to 16 → 28×28 bytes; bilinear, so that no value leaves the range.
    small = bunch.images / 16.0  # (1797, 8, 8)
    drawn = zoom(small, (1, 3.5, 3.5), order=1)  # (1797, 28, 28)
    images = np.rint(drawn * 255).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    return _publish("digits", "scikit-learn load_digits", x_train, y_train, x_test, y_test)


@lru_cache(maxsize=1)
def _load_mnist_file(path: str, mtime_ns: int, size: int) -> _Published:
    """Read an .npz. The time and the size are part of the cache's key: a changed file is read again."""
    try:
        # Opened here: np.load leaves the file open when it is no zip archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:  # noqa: PTH123
            missing = [key for key in _KEYS if key not in archive.files]
            if missing:
                raise DataError(
                    f"{path}: lacks {' '.join(missing)}; it holds {' '.join(archive.files) or 'nothing'}. {_REMEDIES}"
                )
            arrays = [archive[key] for key in _KEYS]
            if not all(isinstance(array, np.ndarray) for array in arrays):
                raise DataError(f"{path}: not all of {' '.join(_KEYS)} are arrays. {_REMEDIES}")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a readable .npz file, perhaps cut short ({error}). {_REMEDIES}") from error
    return _publish("mnist", path, *arrays)


@lru_cache(maxsize=1)
def _load_mnist_of_keras() -> _Published:
    with native_stderr_hidden():
        import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"MNIST is not in Keras's cache and the download failed ({reason}). {_REMEDIES}") from error
    return _publish("mnist", "keras.datasets.mnist", x_train, y_train, x_test, y_test)


def _publish(
    name: str, source: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> _Published:
    train, test = _check(source, "train", x_train, y_train), _check(source, "test", x_test, y_test)
    digest = hashlib.sha256()
    for part in (x_train, y_train, x_test, y_test):
        digest.update(np.ascontiguousarray(part).data)
    return _Published(
        name=name,
        source=source,
        digest=digest.hexdigest()[:16],
        input_shape=IMAGE_SHAPE,
        class_names=tuple(str(digit) for digit in range(N_CLASSES)),
        train=train,
        test=test,
    )


def _check(source: str, part: str, x: np.ndarray, y: np.ndarray) -> _Bytes:
    """Raw arrays must be uint8 (n, 28, 28) or (n, 28, 28, 1) and integers 0 to 9."""
    if x.dtype != np.uint8:
        raise DataError(f"{source}: x_{part} is {x.dtype}, but must be uint8 with pixels 0 to 255. {_REMEDIES}")
    if x.shape[1:] not in (IMAGE_SHAPE, IMAGE_SHAPE[:2]) or len(x) == 0:
        raise DataError(f"{source}: x_{part} has the shape {x.shape}, but must be (n, 28, 28). {_REMEDIES}")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{source}: y_{part} is {y.dtype}, but must hold integers 0 to 9. {_REMEDIES}")
    if y.shape != (len(x),):
        raise DataError(f"{source}: y_{part} has the shape {y.shape}, but x_{part} has {len(x)} images. {_REMEDIES}")
    if y.min() < 0 or y.max() >= N_CLASSES:
        raise DataError(f"{source}: y_{part} holds labels {y.min()} to {y.max()}, but must hold 0 to 9. {_REMEDIES}")
    return _Bytes(images=x.reshape(-1, *IMAGE_SHAPE), labels=y.astype(np.int64))
