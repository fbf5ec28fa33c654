"""Processes of a pool on this machine (joblib), forked from one process that has imported TensorFlow already."""

import atexit
import multiprocessing
import sys
from multiprocessing import forkserver

import psutil


def start_fork_server() -> None:
    """From now on this process's pools fork their processes from a server, which begins to import what they need.

    Where the main process has more to do first, it costs no time. Nothing is forked from the main process, and the
    server has never computed anything with TensorFlow. Linux alone: elsewhere a pool's processes import for
    themselves, since forking is not safe with macOS's libraries and not known to Windows.
    """
    if sys.platform != "linux":
        return
    # Imported here: other launchers do without joblib.
    from joblib.externals.loky.backend.context import set_start_method

    multiprocessing.set_forkserver_preload(["mnist_flow.pool_server"])
    set_start_method("forkserver", force=True)
    forkserver.ensure_running()
    # In a sweep that ends early it is still importing, and a shell's pipe would wait for it.
    atexit.register(_kill_fork_server)


def _kill_fork_server() -> None:
    for child in psutil.Process().children():
        if any("multiprocessing.forkserver" in argument for argument in child.cmdline()):
            child.kill()
            child.wait()
