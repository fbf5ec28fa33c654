"""Starting commands as a user would, in a fraction of the seconds that TensorFlow takes to be imported."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

PROJECT_DIR = Path(__file__).resolve().parent.parent

# What libraries or Python itself read when they are imported or start. A command with other values than the fork
# server's starts from nothing.
_READ_AT_IMPORT = (
    *("CUDA_", "HOME", "KERAS_", "MKL_", "MLFLOW_CONFIGURE_LOGGING", "MLFLOW_LOGGING_LEVEL", "MPL", "NUMEXPR_"),
    *("OMP_", "OPENBLAS_", "PYTHON", "TF_", "XDG_"),
)


def command_environment(**variables: str) -> dict[str, str]:
    """The environment of a subprocess: this one's without tracking variables, with the project importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "COLUMNS"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONPATH": str(PROJECT_DIR), **variables}


class Command:
    """A command that runs or has ended, with the part of `subprocess.Popen`'s interface that tests use.

    It leads a process group and a session of its own.
    """

    def __init__(self, arguments: tuple[str, ...], report: IO[bytes]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._report = report
        self.pid = self._read()

    def poll(self) -> int | None:
        """The exit status; minus the number of the signal that killed it; None while it runs."""
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            self._read_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._read_status()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens to a command that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read_status(self) -> None:
        self.returncode = self._read()
        self._report.close()

    def _read(self) -> int:
        line = self._report.readline()
        if not line:
            raise RuntimeError(f"the process that starts commands is gone: {_fork_server.read_errors()}")
        return int(line)


class _ForkServer:
    """Starts fork_server.py when the first command is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._errors: IO[bytes] | None = None
        self._environment: dict[str, str] = {}
        self._started: dict[int, tuple[str, ...]] = {}  # arguments of all commands, by process number

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def describe(self, process: psutil.Process) -> str:
        """What a process was started with; a forked one's own command line is the server's."""
        return " ".join([str(process.pid), *self._started.get(process.pid, process.cmdline())])

    def start_command(
        self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], fresh: bool, streams: list[int]
    ) -> Command:
        with self._lock:
            if self._connection is None:
                self._connection = self._start()
            request = {
                "arguments": arguments,
                "folder": str(folder),
                "environment": environment,
                "fresh": fresh or self._must_be_fresh(arguments, environment),
            }
            read, write = os.pipe()
            try:
                socket.send_fds(self._connection, [json.dumps(request).encode()], [*streams, write])
            finally:
                os.close(write)
        # Unbuffered: `select` does not see what a buffer holds.
        command = Command(arguments, os.fdopen(read, "rb", buffering=0))
        self._started[command.pid] = arguments
        return command

    def stop(self) -> None:
        """End it and all commands that still run; the next command starts another one."""
        with self._lock:
            if self._connection is not None and self._process is not None and self._errors is not None:
                self._connection.close()
                self._process.wait(timeout=30)
                self._errors.close()
                self._connection = None

    def read_errors(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = command_environment()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(theirs.fileno())],
                env=self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the tests, which end it.
            )
        return ours

    def _must_be_fresh(self, arguments: tuple[str, ...], environment: dict[str, str]) -> bool:
        ours = arguments[0] == "-c" or (arguments[0] == "-m" and arguments[1].startswith("mnist_flow."))

        def select_read(variables: dict[str, str]) -> dict[str, str]:
            return {name: value for name, value in variables.items() if name.startswith(_READ_AT_IMPORT)}

        # Elsewhere it is not safe to fork a process that has imported these libraries.
        return sys.platform != "linux" or not ours or select_read(environment) != select_read(self._environment)


_fork_server = _ForkServer()
stop_fork_server = _fork_server.stop
atexit.register(stop_fork_server)

# All processes that this one starts, and theirs, inherit it.
_SESSION_VARIABLE = "MNIST_FLOW_TEST_SESSION"


def mark_processes() -> None:
    """From now on `end_leftovers` knows what this process and its descendants start."""
    os.environ[_SESSION_VARIABLE] = secrets.token_hex(8)


def end_leftovers(seconds: float = 10) -> list[str]:
    """Kill the processes started since `mark_processes` that don't end by themselves, and return what they are.

    Args:
        seconds: how long they may take.
    """
    deadline = time.monotonic() + seconds
    while leftovers := _find_leftovers():
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    described = []
    for process in leftovers:
        with suppress(psutil.NoSuchProcess):
            described.append(_fork_server.describe(process))
            process.kill()
    return described


def _find_leftovers() -> list[psutil.Process]:
    """All but what ends with this process: the fork server, and what multiprocessing starts for its own purposes."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = process.ppid() == os.getpid() and "resource_tracker" in " ".join(process.cmdline())
            marked = process.environ().get(_SESSION_VARIABLE) == os.environ[_SESSION_VARIABLE]
            if marked and not own and process.pid != _fork_server.pid:
                found.append(process)
    return found


def start_command(
    folder: Path,
    *arguments: str,
    stdout: IO[str] | IO[bytes] | int = subprocess.DEVNULL,
    stderr: IO[str] | IO[bytes] | int = subprocess.DEVNULL,
    fresh: bool = False,
    **variables: str,
) -> Command:
    """Start `python ARGUMENTS` in a folder, with stdin empty.

    Args:
        folder: to run it in.
        arguments: of Python. Commands of mnist_flow and `-c PROGRAM` are forked from a process that has imported
            everything; others, and options like `-X importtime`, start from nothing.
        stdout: an open file, a file descriptor, or `subprocess.DEVNULL`.
        stderr: the same; it may be the same file.
        fresh: start from nothing in any case.
        variables: of the environment, besides `command_environment`'s.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        streams = [nothing]
        for stream in (stdout, stderr):
            if stream == subprocess.DEVNULL:
                streams.append(nothing)
            else:
                streams.append(stream if isinstance(stream, int) else stream.fileno())
        return _fork_server.start_command(folder, arguments, command_environment(**variables), fresh, streams)
    finally:
        os.close(nothing)


def run_command(
    folder: Path, *arguments: str, fresh: bool = False, timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` in a folder, as a user would, and return what it printed; see `start_command`.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout` seconds, with its process group.
    """
    # No pipes: a process that outlives the command would hold them open.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
    ):
        command = start_command(folder, *arguments, stdout=stdout, stderr=stderr, fresh=fresh, **variables)
        try:
            command.wait(timeout)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            raise
        stdout.seek(0)
        stderr.seek(0)
        returncode = command.wait()
        return subprocess.CompletedProcess(arguments, returncode, stdout.read(), stderr.read())
