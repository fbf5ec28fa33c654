"""A pool of processes on this machine (joblib), forked from a server that has imported TensorFlow already.

For three runs in two processes the fork server saves three tenths of the processor time on the digits, and a twentieth
on MNIST with 10 epochs.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import warnings
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from typing import Any

import psutil
from hydra.core.utils import env_override

from mnist_flow.jobs.workers import list_gpus
from mnist_flow.runtime.processes import describe_process
from mnist_flow.sweeps.workers import begin_worker


def list_pool_options(locks: str) -> dict[str, Any]:
    """Options of `joblib.Parallel` with which the processes of a pool exit when this one is gone, and have a GPU each.

    Between two jobs joblib replaces a process that has grown by 300 MB, as those that train do. No job is lost by it,
    and the warning that sounds as if is left out.

    Args:
        locks: an empty folder that lasts as long as the pool.
    """
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    return {"initializer": begin_worker, "initargs": (describe_process(), list_gpus(), locks)}


def start_fork_server(n_workers: int) -> None:
    """Start the server that this process's pools fork their processes from; it begins to import what they need.

    The server imports while the main process looks up which jobs are done. Nothing is forked from the main process, and
    the server never computes anything with TensorFlow. Linux only: elsewhere the processes of a pool import for
    themselves, because forking is not safe with the libraries of macOS and unknown to Windows.
    """
    if sys.platform != "linux":
        return
    # Imported here: other launchers do without joblib.
    from joblib import cpu_count
    from joblib.externals.loky.backend.context import set_start_method
    from joblib.parallel import ParallelBackendBase

    multiprocessing.set_forkserver_preload(["mnist_flow.sweeps.preload"])
    set_start_method("forkserver", force=True)
    # As joblib itself does for its own processes, unless the user has set the variables: the threads of linear algebra
    # share the cores.
    threads = dict.fromkeys(ParallelBackendBase.MAX_NUM_THREADS_VARS, str(max(1, cpu_count() // n_workers)))
    resource_tracker.ensure_running()  # It would unblock the signal below.
    # The server ignores Ctrl-C, which is for the main process and the jobs, from its first moment on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with env_override({name: os.environ.get(name, number) for name, number in threads.items()}):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # After a sweep that ends early the server is still importing, and a shell's pipe would wait for it.
    atexit.register(stop_fork_server)


def stop_workers() -> None:
    """End what trains the jobs of an interrupted sweep: the processes of a pool, or a command's part in a Ray cluster.

    Ray would end its part when the command has ended, which is too late for the statuses of the runs.
    """
    stop_fork_server()
    if "ray" in sys.modules:  # The launcher has imported it.
        sys.modules["ray"].shutdown()


def stop_fork_server() -> None:
    """End the fork server, which may be about to fork a process for a pool that is gone, and any that it has forked."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("multiprocessing.forkserver" in argument for argument in child.cmdline()):
                child.suspend()
                for forked in child.children():
                    forked.kill()
                child.kill()
                child.wait()
