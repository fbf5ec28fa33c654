"""How many jobs of a sweep run at the same time, and the GPUs that they share out among them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from omegaconf import DictConfig

from mnist_flow.runtime.environment import count_cores
from mnist_flow.runtime.memory import count_free_bytes

# Peak memory of a process that trains on MNIST, in bytes.
_WORKER_BYTES = 1.6e9


def count_workers(config: DictConfig, n_jobs: int) -> int | None:
    """Count the jobs, of `n_jobs`, that the launcher of a sweep runs at the same time; None: a cluster decides."""
    launcher = config.hydra.launcher
    if launcher._target_.endswith("BasicLauncher"):
        return 1
    if launcher._target_.endswith("JoblibLauncher"):
        if launcher.n_jobs == -1:
            return choose_workers(n_jobs)
        return launcher.n_jobs if launcher.n_jobs > 0 else max(1, count_cores() + 1 + launcher.n_jobs)
    return None


def choose_workers(n_jobs: int) -> int:
    """Choose the number of processes of a pool on this machine: one per core, if memory allows it; or one per GPU.

    With more jobs than cores, but less than twice as many, every job has a process of its own if memory allows it: the
    jobs then share all cores to the end, whereas some cores would be idle in a second round.
    """
    cores, fitting = count_cores(), int(count_free_bytes() / _WORKER_BYTES)
    if n_gpus := len(list_gpus()):
        return max(1, min(n_gpus, fitting))
    if cores < n_jobs < 2 * cores and n_jobs <= fitting:
        return n_jobs
    # Not less for fewer jobs: joblib runs a pool of one process in the main process.
    return max(1, min(cores, fitting))


def list_gpus() -> list[str]:
    """List the GPUs that the processes of a pool share out, as CUDA_VISIBLE_DEVICES names them; none where it is one.

    Those are the user's CUDA_VISIBLE_DEVICES, or all of the machine's where the libraries that TensorFlow needs for
    them are installed, as by `pip install '.[gpu]'`.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        # CUDA ignores what comes after -1.
        gpus = list(takewhile(lambda gpu: gpu not in ("", "-1"), (gpu.strip() for gpu in named.split(","))))
    else:
        found = sorted(Path("/proc/driver/nvidia/gpus").glob("*")) if find_spec("nvidia") is not None else []
        gpus = [str(number) for number in range(len(found))]
    return gpus if len(gpus) > 1 else []
