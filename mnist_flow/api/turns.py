"""The turns that calls take, since Keras, Hydra and MLflow have one state for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let the block run while no other thread is in such a block; a thread that is in one may enter further ones.

    Keras's seed and session, the config that Hydra composes, and MLflow's tracking URI with its environment variable
    belong to the process: calls that overlap would change each other's numbers, or ask each other's stores.
    """
    with _LOCK:
        yield
