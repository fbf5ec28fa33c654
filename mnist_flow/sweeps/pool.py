"""Processes of a pool on this machine (joblib), forked from one process that has imported TensorFlow already."""

import atexit
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker

import psutil
from hydra.core.utils import env_override


def start_fork_server(n_workers: int) -> None:
    """From now on this process's pools fork their processes from a server, which begins to import what they need.

    It imports while the main process looks up what is done. Nothing is forked from the main process, and the server
    never computes anything with TensorFlow. Linux alone: elsewhere a pool's processes import for themselves, since
    forking is not safe with macOS's libraries and not known to Windows.

    Args:
        n_workers: processes that share the cores.
    """
    if sys.platform != "linux":
        return
    # Imported here: other launchers do without joblib.
    from joblib import cpu_count
    from joblib.externals.loky.backend.context import set_start_method
    from joblib.parallel import ParallelBackendBase

    multiprocessing.set_forkserver_preload(["mnist_flow.sweeps.pool_server"])
    set_start_method("forkserver", force=True)
    # What joblib itself tells a pool's processes, unless the user has: their linear algebra shares the cores.
    threads = dict.fromkeys(ParallelBackendBase.MAX_NUM_THREADS_VARS, str(max(1, cpu_count() // n_workers)))
    resource_tracker.ensure_running()  # It would unblock the signal below.
    # Ctrl-C is for the main process and the jobs, also before the server can say so.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with env_override({name: os.environ.get(name, number) for name, number in threads.items()}):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # In a sweep that ends early it is still importing, and a shell's pipe would wait for it.
    atexit.register(stop_fork_server)


def stop_fork_server() -> None:
    """End the server, and a process that it has forked meanwhile for a pool that is gone."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("multiprocessing.forkserver" in argument for argument in child.cmdline()):
                child.suspend()
                for forked in child.children():
                    forked.kill()
                child.kill()
                child.wait()
