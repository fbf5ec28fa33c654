"""The processes of a pool: each exits when its main process is gone, after the job that it has then, and has one GPU.

joblib's own processes may wait for ever for a lock that the main process held when it was killed.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds between two looks at the main process.
_POLL_SECONDS = 1.0

# Held during a job, so that the process is not ended within it.
_at_work = threading.Lock()


@contextmanager
def at_work() -> Iterator[None]:
    """Around a job: let it finish though its main process is gone."""
    with _at_work:
        yield


def exit_with(process: str) -> None:
    """From now on exit as soon as a process (see `describe_process`) is gone and no job is at work here."""
    # Imported here: `--help` needs `at_work`, and no psutil.
    from mnist_flow.runtime.processes import is_alive

    def watch() -> None:
        while is_alive(process):
            time.sleep(_POLL_SECONDS)
        _at_work.acquire()
        # Not sys.exit: only the main thread could end the process so, and it waits for joblib's queue.
        os._exit(1)

    threading.Thread(target=watch, name="main process watch", daemon=True).start()


def begin_worker(process: str, gpus: Sequence[str], locks: str) -> None:
    """Begin a process of a pool, which exits with the process that is given; see `exit_with`.

    Args:
        process: the main one, see `describe_process`.
        gpus: of which the process takes one, before TensorFlow looks for them; none: it is left as it is.
        locks: folder for the files by which the processes of the pool tell each other what they have taken.
    """
    exit_with(process)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[_take_number(Path(locks)) % len(gpus)]


def _take_number(locks: Path) -> int:
    """Take the lowest number that no process has; it is free again when this process ends, however it ends."""
    from filelock import FileLock, Timeout

    for number in itertools.count():
        lock = FileLock(locks / f"{number}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            atexit.register(lock.release)  # It would be released at once if nothing referred to it.
            return number
    raise AssertionError
