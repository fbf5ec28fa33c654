"""Free memory within control groups, of which a folder stands for Linux's own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mnist_flow.runtime import memory
from mnist_flow.runtime.memory import count_free_bytes, describe_lack


class ResourceExhaustedError(Exception):
    """Called like TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (MemoryError("Unable to allocate 7 EiB for an array with shape (1000, 28) and data type"), "(1000, 28)"),
        (ResourceExhaustedError("OOM when allocating tensor with shape[32,28,28] and type float"), "[32,28,28]"),
        (MemoryError(), None),
    ],
)
def test_a_lack_of_memory_is_told_with_the_array(error, wanted):
    array = f" for an array of shape {wanted}" if wanted else ""
    line = f"there is not enough memory{array}; choose a smaller model, batch_size or evaluation.batch_size"
    assert describe_lack(error) == line


def test_numpys_own_error_is_one_and_others_are_not():
    with pytest.raises(MemoryError) as raised:
        np.empty((2**40, 2**20), np.int8)
    assert "an array of shape (1099511627776, 1048576)" in describe_lack(raised.value)
    assert describe_lack(ValueError("with shape (1, 2)")) is None


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A machine with 1000 free bytes and no groups; writes a group's limit, use and cached files."""
    own = tmp_path / "cgroup"
    roots = [tmp_path / "mount", tmp_path / "mount" / "memory"]
    monkeypatch.setattr(memory, "_OWN_GROUPS", own)
    versions = [(root, *version[1:]) for root, version in zip(roots, memory._VERSIONS, strict=True)]
    monkeypatch.setattr(memory, "_VERSIONS", tuple(versions))
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))

    def write(folder, limit, used, cached, version=2):
        place = roots[2 - version] / folder
        place.mkdir(parents=True, exist_ok=True)
        _, limit_name, used_name, cached_name = versions[2 - version]
        (place / limit_name).write_text(f"{limit}\n")
        (place / used_name).write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 5\n{cached_name} {cached}\n")

    write.own = own
    return write


def test_without_groups_all_free_memory_of_the_machine_counts(groups):
    assert count_free_bytes() == 1000


def test_the_narrowest_group_around_this_process_counts_and_cached_files_are_free(groups):
    groups.own.write_text("0::/user/job\n")
    groups("user", 900, 300, 0)
    assert count_free_bytes() == 600
    groups("user/job", 500, 300, 50)
    assert count_free_bytes() == 250
    # Another's group does not count, and a group without a limit neither.
    groups("user/other", 10, 0, 0)
    groups("user/job", "max", 300, 50)
    assert count_free_bytes() == 600
    groups("user/job", 100, 300, 50)
    assert count_free_bytes() == 0


def test_a_container_sees_its_own_group_as_the_root(groups):
    groups.own.write_text("0::/\n")
    groups("", 800, 100, 0)
    assert count_free_bytes() == 700


def test_groups_of_the_older_kind_are_those_of_memory(groups):
    groups.own.write_text("5:cpu:/busy\n4:memory:/job\n0::/new\n")
    groups("busy", 1, 0, 0, version=1)
    groups("job", 700, 200, 30, version=1)
    assert count_free_bytes() == 530
