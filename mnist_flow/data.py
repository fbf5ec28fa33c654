"""Load, check, scale and split the images."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mnist_flow.arrays import FloatArray, IntArray
from mnist_flow.errors import DataError
from mnist_flow.native_output import native_stderr_hidden

N_CLASSES = 10
IMAGE_SHAPE = (28, 28, 1)

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_REMEDIES = (
    "Remedies: data.path=FILE.npz or the environment variable MNIST_NPZ=FILE.npz (an .npz with x_train y_train x_test "
    "y_test), a network connection for the download, or data=digits, which needs neither."
)


@dataclass(frozen=True)
class Images:
    """Scaled images with their labels."""

    images: FloatArray  # float32 (n, 28, 28, 1), 0 black to 1 white
    labels: IntArray  # int64 (n,), 0 to 9

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSet:
    """A data set as published: a training and a test part."""

    name: str  # mnist or digits
    source: str  # the file it was read from, or where it came from
    digest: str  # the first 16 hex digits of the SHA-256 of all its bytes
    train: Images
    test: Images


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses on and is measured on."""

    train: Images
    validation: Images
    test: Images


def load_data_set(name: Literal["mnist", "digits"], path: str | None = None) -> DataSet:
    """Load a data set; the last one stays in memory, so that the jobs of a sweep in one process read it once.

    Args:
        name: mnist or digits.
        path: an .npz file with MNIST; None looks in Keras's cache, then downloads.

    Raises:
        DataError: the data can't be had or is malformed; the message names every remedy.
    """
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


def split_data_set(
    data_set: DataSet, validation: Literal["holdout", "test"], holdout_size: int, split_seed: int
) -> Splits:
    """Choose the validation images.

    Args:
        data_set: what to split.
        validation: `holdout` takes stratified training images out; `test` validates on the test set, which makes every
            choice made on it optimistic (the protocol of all five reports).
        holdout_size: images held out, with `holdout`.
        split_seed: seeds the choice, with `holdout`.

    Raises:
        DataError: the training part is too small for the hold-out.
    """
    train = data_set.train
    if validation == "test":
        return Splits(train=train, validation=data_set.test, test=data_set.test)
    if not N_CLASSES <= holdout_size <= len(train) - N_CLASSES:
        raise DataError(
            f"data.holdout_size={holdout_size}: must be from {N_CLASSES} to {len(train) - N_CLASSES} "
            f"for the {len(train)} training images of {data_set.name}"
        )
    try:
        kept, held_out = train_test_split(
            np.arange(len(train)), test_size=holdout_size, random_state=split_seed, stratify=train.labels
        )
    except ValueError as error:
        raise DataError(f"data.holdout_size={holdout_size}: can't hold out a share of each digit ({error})") from error
    kept, held_out = np.sort(kept), np.sort(held_out)
    return Splits(
        train=Images(train.images[kept], train.labels[kept]),
        validation=Images(train.images[held_out], train.labels[held_out]),
        test=data_set.test,
    )


def scale_pixels(splits: Splits, factor: float) -> Splits:
    """All pixels times a factor, those of the test set included: 1/255 repeats the mistake of report 003-2C."""
    if factor == 1:
        return splits

    def scale(part: Images) -> Images:
        return Images(part.images * np.float32(factor), part.labels)

    return Splits(scale(splits.train), scale(splits.validation), scale(splits.test))


@lru_cache(maxsize=1)
def _load_digits() -> DataSet:
    from scipy.ndimage import zoom

    bunch = load_digits()
    # 8×8 values 0 to 16 → 28×28 bytes; bilinear, so that no value leaves the range.
    small = bunch.images / 16.0  # (1797, 8, 8)
    drawn = zoom(small, (1, 3.5, 3.5), order=1)  # (1797, 28, 28)
    images = np.rint(drawn * 255).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    return _build_data_set("digits", "scikit-learn load_digits", x_train, y_train, x_test, y_test)


@lru_cache(maxsize=1)
def _load_mnist_file(path: str, mtime_ns: int, size: int) -> DataSet:
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
    return _build_data_set("mnist", path, *arrays)


@lru_cache(maxsize=1)
def _load_mnist_of_keras() -> DataSet:
    with native_stderr_hidden():
        import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"MNIST is not in Keras's cache and the download failed ({reason}). {_REMEDIES}") from error
    return _build_data_set("mnist", "keras.datasets.mnist", x_train, y_train, x_test, y_test)


def _build_data_set(
    name: str, source: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> DataSet:
    train = _build_images(source, "train", x_train, y_train)
    test = _build_images(source, "test", x_test, y_test)
    digest = hashlib.sha256()
    for part in (x_train, y_train, x_test, y_test):
        digest.update(np.ascontiguousarray(part).data)
    return DataSet(name=name, source=source, digest=digest.hexdigest()[:16], train=train, test=test)


def _build_images(source: str, part: str, x: np.ndarray, y: np.ndarray) -> Images:
    """Check raw arrays and scale them: uint8 (n, 28, 28) or (n, 28, 28, 1) and integers 0 to 9."""
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
    images = x.reshape(-1, *IMAGE_SHAPE).astype(np.float32) / np.float32(255)
    return Images(images=images, labels=y.astype(np.int64))
