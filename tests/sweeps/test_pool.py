import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from support import PROJECT_DIR, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pool's processes are not forked")

POOL = """
import json, multiprocessing, sys, time
import psutil
from joblib import Parallel, delayed
from mnist_flow.sweeps.pool import start_fork_server, stop_fork_server

def describe():
    import os, signal, sys
    from threadpoolctl import threadpool_info
    return {
        "parent": os.getppid(),
        "imported": [name in sys.modules for name in ("tensorflow", "mlflow", "mnist_flow.training.loop")],
        "threads": sorted({pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}),
        "variable": os.environ["OPENBLAS_NUM_THREADS"],
        "project_run": os.environ.get("MLFLOW_RUN_ID"),
        "interruptible": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }

start_fork_server(n_workers=1000)
described = Parallel(n_jobs=2, batch_size=1)(delayed(describe)() for _ in range(4))
forked = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(600,), daemon=True)
forked.start()
server = psutil.Process(described[0]["parent"])
of_server = [child.pid for child in server.children()]
watched = [server, psutil.Process(forked.pid)]
stop_fork_server()
_, left = psutil.wait_procs(watched, timeout=5)
result = {"main_imported": "tensorflow" in sys.modules, "jobs": described}
result |= {"forked": forked.pid in of_server, "left": [process.pid for process in left]}
print(json.dumps(result))
"""
EARLY_END = """
import psutil
from mnist_flow.sweeps.pool import start_fork_server

start_fork_server(n_workers=2)
# Until a child has become another program, its command line is this one.
servers = []
while not servers:
    children = psutil.Process().children()
    servers = [child.pid for child in children if "multiprocessing.fork" "server" in str(child.cmdline())]
print(servers)
"""


# A job would wait for the import; what it is interrupted in is the request to fork.
INTERRUPTED = """
from joblib import Parallel, delayed
from mnist_flow.sweeps.pool import start_fork_server, stop_fork_server

start_fork_server(n_workers=2)
print("started", flush=True)
try:
    Parallel(n_jobs=2)(delayed(print)() for _ in range(4))
    raise SystemExit("was not interrupted")
except KeyboardInterrupt:
    stop_fork_server()
"""


def run_python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )


# Python runs this before anything else of a process: the server stands still at its start, and says so.
SLOW_START = """
import pathlib, sys, time

if "multiprocessing.forkserver" in " ".join(sys.orig_argv):
    pathlib.Path(__file__).with_name("starting").touch()
    time.sleep(2)
"""


def interrupt_early(wait, **variables):
    """Press Ctrl-C, which on a terminal reaches the whole group; returns what all processes wrote to stderr.

    Args:
        wait: returns when it is to be pressed.
        variables: of the environment.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **variables},
        # Whoever began the tests in the background ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == b"started\n"
    wait()
    os.killpg(process.pid, signal.SIGINT)
    # Both pipes are closed only when no process holds them any more.
    return process.communicate(timeout=60)[1].decode()


def test_processes_of_a_pool_are_forked_from_one_that_has_imported_everything():
    done = run_python(POOL, MLFLOW_RUN_ID="the sweep's own")
    result = json.loads(done.stdout)
    assert not result["main_imported"]
    assert len({job.pop("parent") for job in result["jobs"]}) == 1
    expected = {"imported": [True] * 3, "threads": [1], "variable": "1", "project_run": None, "interruptible": True}
    assert result["jobs"] == [expected] * 4
    # Stopped while a process that it has forked lives, it takes that with it.
    assert (result["forked"], result["left"]) == (True, [])
    assert done.stderr == ""


def test_the_users_number_of_threads_holds_for_a_pools_processes():
    result = json.loads(run_python(POOL, OPENBLAS_NUM_THREADS="2").stdout)
    assert [job["variable"] for job in result["jobs"]] == ["2"] * 4


@pytest.mark.parametrize("seconds", [0.3, 1])
def test_ctrl_c_while_the_server_imports_leaves_no_process_and_no_traceback_of_it(seconds):
    errors = interrupt_early(lambda: time.sleep(seconds))
    assert "was not interrupted" not in errors
    assert "forkserver" not in errors
    assert "FileNotFoundError" not in errors


def test_ctrl_c_before_the_server_can_ignore_it_leaves_no_traceback_of_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    path = os.pathsep.join([str(tmp_path), str(PROJECT_DIR)])
    errors = interrupt_early(lambda: wait_until((tmp_path / "starting").exists), PYTHONPATH=path)
    assert "was not interrupted" not in errors
    assert "sitecustomize" not in errors


def test_sweep_that_ends_early_leaves_no_process():
    (pid,) = json.loads(run_python(EARLY_END).stdout)
    assert not psutil.pid_exists(pid)
