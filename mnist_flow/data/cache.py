"""The data that a process has loaded, kept for its next job."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_flow.data.arrays import IntArray
from mnist_flow.data.dataset import DatasetInfo, Splits


class Part(NamedTuple):
    """Images and labels of the training or the test part."""

    images: NDArray[np.uint8]  # (n, height, width, channels)
    labels: IntArray  # int64 (n,), 0 to n_classes - 1


@dataclass(frozen=True, eq=False)
class Published(DatasetInfo):
    """A data set in its bytes, which take a quarter of the memory of its floats."""

    train: Part
    test: Part


class DataCache:
    """What was loaded last, so that the jobs of a sweep in one process neither read nor scale the same data again.

    It holds at most two data sets, in their bytes, and the scaled images of one choice of splits. A key names all that
    the data depend on: for a data set its name, module and path with the file's time and size; for splits that and the
    config of the splits. Whoever loads with another key makes the oldest go.
    """

    _MOST_DATA_SETS = 2

    def __init__(self) -> None:
        self._published: OrderedDict[Hashable, Published] = OrderedDict()
        self._splits: dict[Hashable, Splits] = {}

    def get_published(self, key: Hashable, load: Callable[[], Published]) -> Published:
        """The data set with this key; loaded, if it is not here."""
        if key not in self._published:
            self._published[key] = load()
            while len(self._published) > self._MOST_DATA_SETS:
                self._published.popitem(last=False)
        self._published.move_to_end(key)
        return self._published[key]

    def get_splits(self, key: Hashable, make: Callable[[], Splits]) -> Splits:
        """The splits with this key; made, if they are not here."""
        if key not in self._splits:
            # The last splits make room before there are new ones: together they could be half a gigabyte.
            self._splits.clear()
            self._splits[key] = make()
        return self._splits[key]

    def clear(self) -> None:
        """Forget everything."""
        self._published.clear()
        self._splits.clear()
