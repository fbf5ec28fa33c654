"""CIFAR-10: Krizhevsky (2009)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData
from mnist_flow.data.releases import check_sizes, load_of_keras
from mnist_flow.errors import DataError

_SHAPE = (32, 32, 3)
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST_FILES = ("test_batch.bin",)
_REMEDIES = (
    "Remedies: data.path=X (an .npz with x_train y_train x_test y_test, or the folder cifar-10-batches-bin of the "
    "binary version), or a network connection for the download."
)


class Config(DataSection):
    """60,000 colour photographs of 32×32 pixels, 50,000 of them for training."""


def load(path: str | None = None, batch: int = 10_000) -> RawData:
    """Load CIFAR-10 from a file or folder, from Keras's cache or from the network.

    Args:
        path: an .npz file with x_train, y_train, x_test and y_test, or a folder with the files data_batch_1.bin to
            data_batch_5.bin and test_batch.bin; None looks in Keras's cache, then downloads, and Keras checks the hash.
        batch: number of images in each file: five are for training.

    Raises:
        DataError: the data can't be had, or are not what was published; the message names every remedy.
    """
    if path is not None and (folder := Path(path).expanduser()).is_dir():
        source = str(folder.resolve())
        x_train, y_train = _read_files(folder, _TRAIN_FILES, batch)
        x_test, y_test = _read_files(folder, _TEST_FILES, batch)
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    else:
        source, arrays = load_of_keras("cifar10", "CIFAR-10", _REMEDIES, path)
    for part in ("train", "test"):
        # Keras has a column of labels.
        if arrays[f"y_{part}"].ndim == 2:
            arrays[f"y_{part}"] = arrays[f"y_{part}"].reshape(-1)
    raw = RawData(source, _SHAPE, _CLASSES, **arrays, remedies=_REMEDIES)
    return check_sizes(raw, "CIFAR-10", (5 * batch, batch))


def _read_files(folder: Path, names: tuple[str, ...], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels: of each image a byte for the label, then the red, the green and the blue pixels."""
    height, width, channels = _SHAPE
    parts = []
    for name in names:
        file = folder / name
        try:
            content = np.fromfile(file, np.uint8)
        except OSError as error:
            raise DataError(f"{file}: can't be read ({error.strerror}). {_REMEDIES}") from error
        wanted = batch * (1 + height * width * channels)
        if len(content) != wanted:
            raise DataError(f"{file}: has {len(content):,} bytes instead of {wanted:,}, perhaps cut short. {_REMEDIES}")
        parts.append(content.reshape(batch, -1))
    rows = np.concatenate(parts)
    return rows[:, 1:].reshape(-1, channels, height, width).transpose(0, 2, 3, 1), rows[:, 0]
