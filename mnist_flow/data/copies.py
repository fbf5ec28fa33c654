"""Reads folders of corrupted copies of a test set, in the layout of MNIST-C (Mu and Gilmer, 2019) or as pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.cache import RecentValues
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.data.foreign import read_pixels
from mnist_flow.data.loading import identify_file
from mnist_flow.data.pictures import list_visible, read_pictures
from mnist_flow.errors import DataError

_IMAGES, _LABELS = "images.npy", "labels.npy"


@dataclass(frozen=True, eq=False)
class Copy:
    """One condition: the test set once more, every image corrupted in the same way."""

    condition: str  # name of its folder, or what stands before _images.npy
    images: np.ndarray  # uint8 (n, height, width, channels), mapped from its file where it is an array
    labels: np.ndarray  # (n,): numbers of classes, or their names


@dataclass(frozen=True, eq=False)
class Copies:
    """What a folder holds."""

    copies: tuple[Copy, ...]
    unreadable: tuple[str, ...]  # a line for each condition that can't be read

    @cached_property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of all names, images and labels."""
        digest = hashlib.sha256()
        for copy in self.copies:
            described = (copy.condition, copy.images.shape, copy.labels.tolist())
            digest.update(repr(described).encode())
            digest.update(np.ascontiguousarray(copy.images).data)
        return digest.hexdigest()[:16]


_COPIES = RecentValues[Copies](1)


def read_copies(path: str) -> Copies:
    """Read a folder of corrupted copies, once for as long as its files stay the same.

    A condition is a folder with test_images.npy and test_labels.npy, whatever else it holds, or the files
    NAME_images.npy and NAME_labels.npy, or a folder that has the pictures of each class in a folder with its name.
    Other files are left out.

    Raises:
        DataError: there is no such folder, or it holds no condition that can be read.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"{path}: no such folder; name the one that holds a folder or a pair of .npy files a condition")
    return _COPIES.get(identify_file(path), lambda: _read_folder(folder))


def fit_copies(copies: Copies, data_set: DataSet) -> tuple[list[Copy], list[str]]:
    """Choose the conditions that are copies of a test set.

    Returns:
        Those whose images have the size of the test set's, and as many of each class as it has, with int64 labels; and
        a line for each other condition, also for those that could not be read.
    """
    fitting, troubles = [], list(copies.unreadable)
    for copy in copies.copies:
        try:
            fitting.append(_fit(copy, data_set))
        except DataError as error:
            troubles.append(str(error))
    return fitting, troubles


def scale_copy(copy: Copy) -> Images:
    """Scale the images of a condition that fits to 0 to 1."""
    images: FloatArray = copy.images.astype(np.float32) / np.float32(255)
    return Images(images, copy.labels)


def _read_folder(folder: Path) -> Copies:
    copies, troubles = [], []
    for condition, files in _list_conditions(folder):
        try:
            copies.append(Copy(condition, *_read_condition(condition, files)))
        except DataError as error:
            troubles.append(f"condition {condition}: {error}")
    if not copies:
        raise DataError(
            troubles[0]
            if troubles
            else f"{folder}: holds no conditions; each is a folder with test_{_IMAGES} and test_{_LABELS}, the files "
            f"NAME_{_IMAGES} and NAME_{_LABELS}, or a folder of pictures by class"
        )
    return Copies(tuple(copies), tuple(troubles))


def _list_conditions(folder: Path) -> Iterator[tuple[str, Path | tuple[Path, Path]]]:
    """Names of conditions, and their folder of pictures or their two arrays."""
    for entry in list_visible(folder):
        if entry.is_dir():
            arrays = entry / f"test_{_IMAGES}", entry / f"test_{_LABELS}"
            yield entry.name, arrays if any(file.exists() for file in arrays) else entry
        elif entry.name.endswith(f"_{_IMAGES}"):
            condition = entry.name.removesuffix(f"_{_IMAGES}")
            yield condition, (entry, folder / f"{condition}_{_LABELS}")


def _read_condition(condition: str, files: Path | tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(files, Path):
        arrays = read_pictures(files)
        return arrays["x_train"], arrays["y_train"]
    images, labels = (_read_array(file) for file in files)
    if len(labels.shape) == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{files[1]}: is {labels.dtype} of the shape {labels.shape}, but labels are (n,) integers or names"
        )
    return read_pixels(str(files[0]), "the array", images), labels


def _read_array(file: Path) -> np.ndarray:
    try:
        # Mapped: a folder of conditions may be larger than the memory.
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: not a readable .npy file, perhaps cut short ({error})") from error


def _fit(copy: Copy, data_set: DataSet) -> Copy:
    def refuse(reason: str) -> DataError:
        return DataError(f"condition {copy.condition}: {reason}")

    shape, images = data_set.input_shape, copy.images
    # A corruption that takes the colours away may be kept in grey.
    if images.shape[1:] == (*shape[:2], 1):
        images = np.broadcast_to(images, (len(images), *shape))
    if images.shape[1:] != shape:
        raise refuse(f"its images are {images.shape[1:]}, but those of {data_set.name} are {shape}")
    if len(images) != len(copy.labels):
        raise refuse(f"has {len(images)} images, but {len(copy.labels)} labels")
    labels = _number_labels(copy.labels, data_set.class_names)
    if (unknown := np.flatnonzero(labels < 0)).size:
        raise refuse(f"its label {copy.labels[unknown[0]]} is no class of {data_set.name}")
    counts, wanted = (np.bincount(one, minlength=data_set.n_classes) for one in (labels, data_set.test.labels))
    if (counts != wanted).any():
        worst = int(np.abs(counts - wanted).argmax())
        raise refuse(
            f"has {counts[worst]} images of class {data_set.class_names[worst]}, but the test set of {data_set.name} "
            f"has {wanted[worst]}"
        )
    fitted = Copy(copy.condition, images, labels)
    # MNIST-C's identity would count as a corruption in means.
    if np.array_equal(scale_copy(fitted).images, data_set.test.images):
        raise refuse("holds the test set itself, which is measured in any case")
    return fitted


def _number_labels(labels: np.ndarray, class_names: tuple[str, ...]) -> IntArray:
    """Numbers of the classes, int64 (n,); -1 where there is no such class."""
    if labels.dtype.kind == "U":
        numbers = {name: number for number, name in enumerate(class_names)}
        return np.array([numbers.get(str(label), -1) for label in labels], dtype=np.int64)
    numbered = np.asarray(labels, dtype=np.int64)
    return np.where((numbered >= 0) & (numbered < len(class_names)), numbered, -1)
