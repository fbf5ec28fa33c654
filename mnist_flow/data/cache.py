"""The data that a process has loaded, kept for its next job."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")


class RecentValues(Generic[ValueT]):
    """What was loaded last, so that the jobs of a sweep in one process neither read nor scale the same data again.

    Args:
        size: number of values that are held; the one whose last use is the longest ago makes room before another is
            made, since two choices of splits could take half a gigabyte.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, ValueT] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """The value with this key, which names all that it depends on; made, if it is not here."""
        if key not in self._values:
            while len(self._values) >= self._size:
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
