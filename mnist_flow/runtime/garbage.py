"""How often Python looks for unreachable cycles of objects, in processes that import TensorFlow or MLflow."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Number of new objects between two searches, and number of searches after which older objects are searched, too.
# Python's own thresholds are 700, 10 and 10.
_THRESHOLDS = 50_000, 10, 10


def collect_rarely() -> None:
    """Let this process search for unreachable cycles only after every 50,000 new objects.

    Imports make objects that stay. Searching them again and again takes a seventh of the processor time of an analysis,
    a plan or a short run. What a training leaves is collected by Keras before the next one, whatever the thresholds.
    """
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Do not search for unreachable cycles in the block, which makes objects by the ten thousand.

    MLflow makes an object of each param, metric and tag of a run, and searching them all again after every 50,000 takes
    longer than making them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
