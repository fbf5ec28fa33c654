"""Which process is which, across machines: to tell a run that goes on from one whose process died."""

from __future__ import annotations

import os
import platform
import socket
from functools import lru_cache
from pathlib import Path

import psutil


def describe_process() -> str:
    """This process as `host/boot/pid/start`: unique across machines, containers and restarts."""
    return f"{_describe_host()}/{os.getpid()}/{_find_start(psutil.Process())}"


def is_alive(process: str) -> bool | None:
    """Whether a process, named by `describe_process`, still runs; None where it belongs to another machine."""
    host, pid, start = process.rsplit("/", 2)
    if host != _describe_host():
        return None
    try:
        found = psutil.Process(int(pid))
        return _find_start(found) == start and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def name_process(process: str) -> str:
    """`process 4242 on HOST`, for people."""
    host, pid, _ = process.rsplit("/", 2)
    return f"process {pid} on {host.partition('/')[0]}"


def _find_start(process: psutil.Process) -> str:
    """When a process started: on Linux in ticks since the boot, since a time of day moves when the clock is set."""
    stat = Path(f"/proc/{process.pid}/stat")
    try:
        # The name before, in parentheses, may hold anything; the start is the twentieth field after it.
        return stat.read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return f"{process.create_time():.2f}"


@lru_cache(maxsize=1)
def _describe_host() -> str:
    """Host name, and what tells two boots and two containers of one host apart."""
    parts = []
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file():
        parts.append(boot.read_text().strip()[:8])
    if namespace.exists():
        parts.append(str(namespace.readlink()).strip("pid:[]"))
    return "/".join([socket.gethostname() or platform.node(), "-".join(parts) or "-"])
