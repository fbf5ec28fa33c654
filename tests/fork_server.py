"""A process that has imported everything and starts each command of a test by forking itself: see commands.py.

It reads requests from the socket whose file descriptor is its only argument, one message each: JSON with `arguments`
(of Python), `folder`, `environment` and `fresh`, and four file descriptors: the command's stdin, stdout and stderr, and
a pipe. It writes two lines to the pipe: the command's process number, and when it has ended its exit status, as
`subprocess` gives it. When the socket is closed, also because the tests were killed, it kills what still runs and ends.

A forked command differs from one that starts from nothing in this alone: its modules are imported already. A command
with `fresh` true starts from nothing.
"""

import atexit
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

# Imported only by what a command does, not by importing the project.
_IMPORTED_LATER = (
    "keras",
    "matplotlib.backends.backend_agg",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "scipy.io",
    "sklearn.datasets",
    "tensorflow",
)
# It changes the signals of the process that imports it.
_NOT_IMPORTED = "mnist_flow.sweeps.preload"
_PR_SET_CHILD_SUBREAPER = 36


def import_everything() -> None:
    """Import all modules of the project but its commands, which are run, and what they import."""
    # What mnist_flow.cli sets for every command: these libraries read it when they are imported.
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", MLFLOW_LOGGING_LEVEL="WARNING")
    import mnist_flow
    import mnist_flow.cli  # noqa: F401 - sets what every command sets
    from mnist_flow.runtime.native_output import native_stderr_hidden

    with native_stderr_hidden():
        for package in (one.name for one in pkgutil.iter_modules(mnist_flow.__path__, "mnist_flow.") if one.ispkg):
            for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
                # A package's own command is run, too.
                if module.name != _NOT_IMPORTED and not module.name.endswith(".__main__"):
                    importlib.import_module(module.name)
        for name in _IMPORTED_LATER:
            importlib.import_module(name)


class Server:
    """The loop that answers requests, in the server and not in the commands that it forks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.set_inheritable(False)
        self._reports: dict[int, int] = {}  # the pipe of each command, by process number
        self._wakeup, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        if sys.platform == "linux":
            # Processes that outlive their command become children of this one, which sees their end, and ends them.
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def serve(self) -> tuple[dict[str, Any], list[int]]:
        """Fork for each request. Returns in each forked process, with the request and three file descriptors."""
        imported = False
        while True:
            readable, _, _ = select.select([self._connection, self._wakeup], [], [])
            if self._wakeup in readable:
                os.read(self._wakeup, 4096)
                self._report_ends()
            if self._connection not in readable:
                continue
            message, descriptors, _, _ = socket.recv_fds(self._connection, 2**20, 4)
            if not message:
                self._kill_all()
                os._exit(0)
            request = json.loads(message)
            if not (imported or request["fresh"]):
                import_everything()
                # What was imported stays: at its end each forked process would look for cycles in it, for seconds.
                gc.freeze()
                imported = True
            *streams, report = descriptors
            os.set_inheritable(report, False)
            pid = os.fork()
            if pid == 0:
                self._close(report)
                return request, streams
            os.write(report, f"{pid}\n".encode())
            self._reports[pid] = report
            for descriptor in streams:
                os.close(descriptor)

    def _report_ends(self) -> None:
        with suppress(ChildProcessError):  # there is no child any more
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                if (report := self._reports.pop(pid, None)) is not None:
                    with suppress(BrokenPipeError):  # nobody waits for it
                        os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    os.close(report)

    def _close(self, report: int) -> None:
        """Forget the server in a forked process."""
        wakeup = signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._connection.close()
        for descriptor in (self._wakeup, wakeup, report, *self._reports.values()):
            os.close(descriptor)

    def _kill_all(self) -> None:
        import psutil

        while children := psutil.Process().children(recursive=True):
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            self._report_ends()


def take_over(request: dict[str, Any], streams: list[int]) -> None:
    """Make a forked process what a shell would have started: session, streams, signals, folder, environment."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["fresh"]:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, *request["arguments"]])  # noqa: S606


def forget_the_server() -> None:
    """Reset what libraries have fixed when they were imported, or would have done differently in each process."""
    import multiprocessing.process
    import tempfile

    import numpy as np

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    tempfile.tempdir = None
    multiprocessing.process.ORIGINAL_DIR = str(Path.cwd())
    np.random.seed()  # noqa: NPY002 - the global state is what all forked processes would share


def run(arguments: list[str]) -> int:
    """Do what `python ARGUMENTS` does, which begin with -m or -c.

    Returns:
        The exit status, or minus the number of the signal by which Python ends its process.
    """
    try:
        _execute(arguments)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException as error:
        sys.excepthook(*sys.exc_info())
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def end(status: int) -> None:
    """End this process as multiprocessing ends those that it forks: what was imported is not taken apart.

    That would take three tenths of a second each time, and native libraries may break without the server's threads.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = 120
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


def _execute(arguments: list[str]) -> None:
    # A crash in native code says on stderr where it happened.
    faulthandler.enable()
    option, program, *rest = arguments
    sys.orig_argv = [sys.executable, *arguments]
    if option == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = ["-m", *rest]
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = ""
        sys.argv = ["-c", *rest]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(program, "<string>", "exec"), main.__dict__)  # noqa: S102


if __name__ == "__main__":
    # Whoever starts the tests in the background ignores it, and Ctrl-C on their terminal is not for this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked, given = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    take_over(asked, given)
    forget_the_server()
    end(run(asked["arguments"]))
