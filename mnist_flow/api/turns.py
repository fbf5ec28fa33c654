"""The turns that calls take, because Keras, Hydra and MLflow have one state for the whole process; and forks of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mnist_flow.errors import ConfigError


class _Process:
    """What calls share in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # Whether TensorFlow had worked in the process that this one was forked from.
        self.tensorflow_hangs = False

    def begin_after_fork(self) -> None:
        """Begin anew in a forked process: the thread that holds the lock, if any, has stayed in the other one."""
        self.lock = threading.RLock()
        self.tensorflow_hangs = self.tensorflow_hangs or _has_used_tensorflow()


_PROCESS = _Process()
# Windows forks no processes.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.begin_after_fork)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let the block run while no other thread is in such a block; a thread that is in one may enter further ones.

    Keras's seed and session, the config that Hydra composes, and MLflow's tracking URI with its environment variable
    belong to the process: calls that overlap would change each other's numbers, or ask each other's stores.
    """
    with _PROCESS.lock:
        yield


def check_tensorflow_works() -> None:
    """Refuse a forked process in which TensorFlow would wait for ever for threads that have not been forked with it.

    Raises:
        ConfigError: TensorFlow had worked in the process that this one was forked from.
    """
    if _PROCESS.tensorflow_hangs:
        raise ConfigError(
            "this process was forked from one that has used TensorFlow, which hangs in it; call mnist_flow.sweep, or "
            "start processes by the method spawn"
        )


def _has_used_tensorflow() -> bool:
    """Whether TensorFlow has done its first operation, which starts its threads; the import alone starts none."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    return bool(getattr(context, "_initialized", False))
