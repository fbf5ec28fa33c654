"""How much memory this process may still take, given the limit of its container, and what is said where it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil

# In TensorFlow's words, and in NumPy's.
_SHAPE = re.compile(r"with shape\s?([\[(][\d, ]+[\])])")
_OWN_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
# Of each version of Linux's control groups: where its memory groups are, the files that hold limit and use in bytes,
# and the entry of `memory.stat` for cached files, which count as used and are given back at need.
_VERSIONS = (
    (_MOUNT, "memory.max", "memory.current", "inactive_file"),
    (_MOUNT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def count_free_bytes() -> int:
    """Count the bytes of memory that are free on this machine, and within the limit of every group that it is in."""
    return min([psutil.virtual_memory().available, *_list_free_of_groups()])


def describe_lack(error: BaseException) -> str | None:
    """Describe an error for lack of memory, of TensorFlow's, NumPy's or Python's own, in one line; None for others."""
    # Not by its class: TensorFlow may not be imported.
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return None
    shape = _SHAPE.search(str(error))
    wanted = f" for an array of shape {shape[1]}" if shape else ""
    return f"there is not enough memory{wanted}; choose a smaller model, batch_size or evaluation.batch_size"


def _list_free_of_groups() -> Iterator[int]:
    """List the bytes that are free in this process's control groups that have a limit, its own and those around it."""
    for root, limit_name, used_name, cached_name in _VERSIONS:
        for folder in _list_groups(root):
            try:
                limit, used = (int((folder / name).read_text("ascii")) for name in (limit_name, used_name))
                entries = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
            except (OSError, ValueError):  # There is no such file, or the limit is `max`.
                continue
            yield max(0, limit - used + int(entries.get(cached_name, 0)))


def _list_groups(root: Path) -> Iterator[Path]:
    """List folders of this process's group and those around it; a container may see its own group as the root."""
    yield root
    try:
        lines = _OWN_GROUPS.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == ("memory" if root.name == "memory" else ""):
            group = root / path.lstrip("/")
            yield from (one for one in (group, *group.parents) if root in one.parents)
