"""Run a command to its end; its time, its processor time and its peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROJECT_DIR = Path(__file__).resolve().parent.parent
# Between two looks. The kernel keeps each process's peak and times, so few looks are enough and disturb little.
_SAMPLE_SECONDS = 0.5


class CommandError(Exception):
    """A command that was to be measured failed."""


@dataclass(frozen=True)
class Finished:
    """A command that ended well."""

    seconds: float  # from its start to its end
    processor_seconds: float  # of all its processes, but for what each did after the last look at it
    peak_bytes: int  # resident memory of the largest of its processes
    output: str  # standard output

    @property
    def report(self) -> dict[str, float]:
        """Numbers of the JSON object that is the last line of the output; nothing where it is none."""
        last = (self.output.strip().splitlines() or [""])[-1]
        try:
            values = json.loads(last)
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}


def run_command(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> Finished:
    """Run a command with the project importable and no tracking variables of the shell.

    Args:
        command: the program and its arguments.
        folder: its working directory.
        variables: of the environment, in addition.

    Raises:
        CommandError: it failed; the message ends with what it said last.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = {**kept, "PYTHONPATH": str(_PROJECT_DIR), **(variables or {})}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
    ):
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        watch = _ProcessWatch(process.pid)
        try:
            # Without a timeout: a wait with one looks only every 50 ms.
            status = process.wait()
            seconds = time.perf_counter() - start
        finally:
            process.kill()
            process.wait()
            watch.end()
        output.seek(0)
        errors.seek(0)
        said = output.read()
        if status != 0:
            raise CommandError(f"{' '.join(command)}: exit status {status}\n{said[-1000:]}\n{errors.read()[-3000:]}")
        return Finished(seconds, watch.processor_seconds, watch.peak_bytes, said)


class _ProcessWatch:
    """Looks at the memory and the times of a process and its descendants from a thread."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        # Largest resident memory of one process, bytes.
        self.peak_bytes = 0
        self._processor_seconds: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def processor_seconds(self) -> float:
        """Of all processes, in user and system mode."""
        return sum(self._processor_seconds.values())

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            for process in _list_processes(self._root):
                # It may end at any moment.
                with suppress(psutil.Error):
                    self.peak_bytes = max(self.peak_bytes, read_peak(process))
                    times = process.cpu_times()
                    self._processor_seconds[process.pid] = times.user + times.system
            if self._ended.wait(_SAMPLE_SECONDS):
                return


def _list_processes(pid: int) -> list[psutil.Process]:
    """A process and its descendants; none once it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def read_peak(process: psutil.Process) -> int:
    """The largest resident memory that a process has had, bytes; where the kernel keeps no peak, what it has now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
