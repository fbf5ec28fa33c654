"""What a sitting ran on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from mnist_flow.runtime.environment import count_cores, describe_code, describe_machine

_PACKAGES = (
    "tensorflow",
    "keras",
    "mlflow",
    "hydra-core",
    "hydra-joblib-launcher",
    "joblib",
    "optuna",
    "numpy",
    "tensorboard",
)
# Flags of x86 processors that multiply bfloat16 themselves.
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def describe_sitting(torch_version: str | None) -> dict[str, Any]:
    """Machine, threads, versions, code, and how busy the machine is before it begins."""
    machine = describe_machine()
    code = describe_code()
    versions = {name: found for name in _PACKAGES if (found := find_version(name)) is not None}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": code.get("commit", "unknown")[:10],
        "changed": _changes_code(code),
        "processor": machine["processor"],
        "cores": count_cores(),
        "logical_cores": machine["logical_cores"],
        "memory_gib": machine["memory_gib"],
        "platform": f"{platform.system()} {platform.machine()}",
        "thread_variables": machine["thread_variables"],
        "bfloat16": has_bfloat16(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "versions": {"python": machine["python"], **versions, **({"torch": torch_version} if torch_version else {})},
    }


def _changes_code(code: dict[str, Any]) -> bool:
    """Whether the working tree differs from the commit in more than what a sitting writes."""
    paths = [*code.get("untracked", []), *re.findall(r"^diff --git a/(\S+)", code.get("diff", ""), re.MULTILINE)]
    return any(not path.startswith(("docs/", "benchmarks/templates/")) for path in paths)


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively; elsewhere it is emulated, and slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and bool(_BFLOAT16 & set(cpuinfo.read_text(encoding="utf-8").split()))


def find_version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_torch(python: str) -> str | None:
    """The version of PyTorch that a Python can import, or None.

    Raises:
        OSError: there is no such program.
    """
    done = subprocess.run(
        [python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def find_data() -> str | None:
    """The file with MNIST: that of MNIST_NPZ, or Keras's copy of it."""
    kept = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "datasets", "mnist.npz")
    given = os.environ.get("MNIST_NPZ")
    return given or (str(kept) if kept.is_file() else None)
