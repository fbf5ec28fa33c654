"""What a run ran on: packages, machine and version of the code."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

import psutil

from mnist_flow.runtime.influences import list_recorded

log = logging.getLogger(__name__)

# Packages whose code the numbers of a run of each kind come from.
_NUMERICAL_PACKAGES = {
    "train": ("data", "models", "training", "metrics", "tasks", "runs"),
    "evaluation": ("data", "models", "metrics", "evaluation"),
}
_PACKAGE_DIR = Path(__file__).resolve().parent.parent
_PROJECT_DIR = _PACKAGE_DIR.parent


@lru_cache(maxsize=1)
def list_packages() -> list[str]:
    """List the installed packages as `name==version`, sorted."""
    return sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}, key=str.lower)


@lru_cache(maxsize=1)
def describe_machine() -> dict[str, Any]:
    """Describe Python, operating system, processor, memory in GiB, the command, and what may change last bits."""
    # Imported here: what only plans needs no arrays.
    import numpy as np

    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "processor": _processor(),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "thread_variables": {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")},
        # Beside the processor, the libraries that choose their code by it.
        "variables": list_recorded(),
        "instruction_sets": np.show_config(mode="dicts")["SIMD Extensions"]["found"],
    }


@lru_cache(maxsize=1)
def describe_code() -> dict[str, Any]:
    """Describe the git commit and how the working tree differs from it; empty where there is no git repository.

    A repository of which git tells nothing is warned of.
    """
    # If this project is installed as a package, its folder may lie in somebody else's repository.
    if not (_PROJECT_DIR / ".git").exists() or (commit := _git("rev-parse", "HEAD")) is None:
        return {}
    diff = _git("diff", "HEAD") or ""
    untracked = (_git("ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")[:-1]
    return {"commit": commit.strip(), "dirty": bool(diff or untracked), "untracked": untracked, "diff": diff}


@lru_cache(maxsize=2)
def digest_code(kind: Literal["train", "evaluation"] = "train") -> str:
    """Return the version of the code on which the numbers of a run of this kind depend, with or without git.

    The first 16 hex digits of the SHA-256 of the packages that load, corrupt, build, train and measure; how runs are
    tracked, shown and compared can change without making them doubtful.
    """
    digest = hashlib.sha256()
    for file in sorted(file for name in _NUMERICAL_PACKAGES[kind] for file in (_PACKAGE_DIR / name).rglob("*.py")):
        digest.update(file.relative_to(_PACKAGE_DIR).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def count_cores() -> int:
    """Count the cores that this process may use, given its affinity and the quota of a container."""
    # Imported here: it takes a while, and a single run whose config says the number of threads needs no count.
    from joblib import cpu_count

    return int(cpu_count())


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=_PROJECT_DIR,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = " ".join((getattr(error, "stderr", None) or str(error)).split())
        log.warning("git says no, so the run does not note the commit and changes of the code: %s", said)
        return None
    return done.stdout


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
