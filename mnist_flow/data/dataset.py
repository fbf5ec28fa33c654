"""What a data set is: what there is to know of it, its images with their labels, and its splits."""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_flow.data.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Images:
    """Scaled images with their labels."""

    images: FloatArray  # float32 (n, height, width, channels), 0 to 1: black to white if there is one channel
    labels: IntArray  # int64 (n,), 0 to n_classes - 1

    def __len__(self) -> int:
        return len(self.labels)

    def one_hot(self, n_classes: int) -> FloatArray:
        """The labels as float32 (n, n_classes), 1 at the label and 0 elsewhere."""
        return np.eye(n_classes, dtype=np.float32)[self.labels]


@dataclass(frozen=True, eq=False)
class RawData:
    """What the `load` of a data set's module returns: its arrays as published, and what they must look like."""

    source: str  # the file it was read from, or where it came from
    input_shape: tuple[int, int, int]  # height, width and channels of an image
    class_names: tuple[str, ...]  # of the labels 0, 1, …
    x_train: np.ndarray  # uint8 (n, height, width, channels), 0 to 255; one channel may be left out
    y_train: np.ndarray  # integers (n,), 0 to n_classes - 1
    x_test: np.ndarray  # the same for the test part
    y_test: np.ndarray
    remedies: str = ""  # how the data can be had otherwise: the end of the message where the arrays are malformed


@dataclass(frozen=True, eq=False)
class DatasetInfo:
    """What there is to know of a data set without its images."""

    name: str  # of the option: mnist, digits, …
    source: str  # the file it was read from, or where it came from
    digest: str  # the first 16 hex digits of the SHA-256 of all its bytes, and of class names that come with them
    input_shape: tuple[int, int, int]  # height, width and channels of an image
    class_names: tuple[str, ...]  # of the labels 0, 1, …

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


class Part(NamedTuple):
    """Images and labels of the training or the test part, as published."""

    images: NDArray[np.uint8]  # (n, height, width, channels)
    labels: IntArray  # int64 (n,), 0 to n_classes - 1


@dataclass(frozen=True, eq=False)
class Published(DatasetInfo):
    """A data set in its bytes, which take a quarter of the memory of its floats."""

    train: Part
    test: Part


@dataclass(frozen=True, eq=False)
class DataSet(DatasetInfo):
    """A data set as published: a training and a test part."""

    train: Images
    test: Images


def name_class(class_names: Iterable[object]) -> str:
    """What a class of a data set is called: digit, or class where the names of the classes are no digits."""
    return "digit" if {str(name) for name in class_names} <= set(string.digits) else "class"


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses on and is measured on."""

    train: Images
    validation: Images
    test: Images
