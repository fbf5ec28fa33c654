import json
import os
import subprocess
import sys

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pool's processes are not forked")

POOL = """
import json, sys
from joblib import Parallel, delayed
from mnist_flow.pool import start_fork_server

def describe():
    import os, signal, sys
    return {
        "parent": os.getppid(),
        "imported": [name in sys.modules for name in ("tensorflow", "mlflow", "mnist_flow.training")],
        "threads": os.environ["OPENBLAS_NUM_THREADS"],
        "project_run": os.environ.get("MLFLOW_RUN_ID"),
        "interruptible": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }

start_fork_server()
described = Parallel(n_jobs=2, batch_size=1)(delayed(describe)() for _ in range(4))
print(json.dumps({"main_imported": "tensorflow" in sys.modules, "jobs": described}))
"""
EARLY_END = """
import psutil
from mnist_flow.pool import start_fork_server

start_fork_server()
print([child.pid for child in psutil.Process().children() if "multiprocessing.forkserver" in str(child.cmdline())])
"""


def run_python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )


def test_processes_of_a_pool_are_forked_from_one_that_has_imported_everything():
    done = run_python(POOL, MLFLOW_RUN_ID="the sweep's own", OPENBLAS_NUM_THREADS="3")
    result = json.loads(done.stdout)
    assert not result["main_imported"]
    assert len({job.pop("parent") for job in result["jobs"]}) == 1
    expected = {"imported": [True] * 3, "threads": "3", "project_run": None, "interruptible": True}
    assert result["jobs"] == [expected] * 4
    assert done.stderr == ""


def test_sweep_that_ends_early_leaves_no_process():
    (pid,) = json.loads(run_python(EARLY_END).stdout)
    assert not psutil.pid_exists(pid)
