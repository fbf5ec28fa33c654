"""Other processes: names that hold across machines, and the end of commands that this one has started."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

# Seconds that a command has to end by itself; a sweep gives its workers ten.
_UNTIL_ENDED = 20.0


def describe_process() -> str:
    """Name this process as `host/boot/pid/start`, which is unique across machines, containers and restarts."""
    return f"{_describe_host()}/{os.getpid()}/{_find_start(psutil.Process())}"


def is_alive(process: str) -> bool | None:
    """Tell whether a process, named by `describe_process`, still runs; None if it belongs to another machine."""
    host, pid, start = process.rsplit("/", 2)
    if host != _describe_host():
        return None
    try:
        found = psutil.Process(int(pid))
        return _find_start(found) == start and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(process: subprocess.Popen[Any], ending: BaseException) -> None:
    """Wait for a command that this one has started, after what ends this one, so that its runs end as KILLED.

    Args:
        process: of a command of this package.
        ending: what was raised here. Ctrl-C on a terminal reaches the other command too, and a second signal would
            break off what it does at its end; so it gets one only if it has not ended after a while.
    """
    try:
        if isinstance(ending, KeyboardInterrupt):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_UNTIL_ENDED)
    finally:
        # Also where the user does not want to wait.
        if process.poll() is None:
            process.terminate()
            process.wait()


def name_process(process: str) -> str:
    """Name a process for people: `process 4242 on HOST`."""
    host, pid, _ = process.rsplit("/", 2)
    return f"process {pid} on {host.partition('/')[0]}"


def _find_start(process: psutil.Process) -> str:
    """Find when a process started; on Linux in ticks since the boot, because setting the clock moves a time of day."""
    stat = Path(f"/proc/{process.pid}/stat")
    try:
        # The start is the twentieth field after the program's name, which is in parentheses and may contain anything.
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return f"{process.create_time():.2f}"


@lru_cache(maxsize=1)
def _describe_host() -> str:
    """Describe the host: its name, and what tells two boots and two containers of one host apart."""
    parts = []
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file():
        parts.append(boot.read_text(encoding="utf-8").strip()[:8])
    if namespace.exists():
        parts.append(str(namespace.readlink()).strip("pid:[]"))
    return "/".join([socket.gethostname() or platform.node(), "-".join(parts) or "-"])
