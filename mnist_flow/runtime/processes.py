"""Names of processes that hold across machines: they tell a run that goes on from one whose process died."""

from __future__ import annotations

import os
import platform
import socket
from functools import lru_cache
from pathlib import Path

import psutil


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
