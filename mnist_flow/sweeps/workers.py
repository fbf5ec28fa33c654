"""The processes of a pool: each exits when its main process is gone, after the job that it has then.

joblib's own processes may wait for ever for a lock that the main process held when it was killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
