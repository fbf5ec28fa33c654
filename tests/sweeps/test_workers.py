"""A process of a pool when its main process is gone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support import QUICK, command_environment

WORKER = """
import sys, time
from mnist_flow.sweeps.workers import at_work, exit_with

exit_with(sys.argv[1])
with at_work():
    print("at work", flush=True)
    input()
    print("done", flush=True)
time.sleep(600)
"""


@pytest.fixture
def worker(other_process):
    """A process that has a job until a line comes, and exits with the other process."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, other_process[1]],
        env=command_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def test_a_worker_finishes_its_job_and_exits_when_its_main_process_is_gone(other_process, worker):
    other_process[0].kill()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=3)
    worker.stdin.write("\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"
    assert worker.wait(timeout=10) == 1


def test_a_worker_stays_as_long_as_its_main_process(other_process, worker):
    worker.stdin.write("\n")
    worker.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=3)
    other_process[0].kill()
    assert worker.wait(timeout=10) == 1


# Each process of a pool says which GPU it has, and then each of a larger pool.
GPUS = """
import json, os, tempfile, time
from pathlib import Path
from joblib import Parallel, delayed
from mnist_flow.sweeps.pool import list_pool_options

def describe(n_jobs, met):
    # A process that starts late would find no job left.
    Path(met, str(os.getpid())).touch()
    while len(os.listdir(met)) < n_jobs:
        time.sleep(0.01)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]

for n_jobs in (3, 4):
    with tempfile.TemporaryDirectory() as locks, tempfile.TemporaryDirectory() as met:
        jobs = [delayed(describe)(n_jobs, met)] * 8
        found = Parallel(n_jobs=n_jobs, batch_size=1, **list_pool_options(locks))(jobs)
        print(json.dumps(sorted(dict(found).values())))
"""


def test_processes_of_a_pool_have_a_gpu_each_and_share_when_there_are_more_of_them():
    done = subprocess.run(
        [sys.executable, "-c", GPUS],
        env=command_environment(CUDA_VISIBLE_DEVICES="0,1,2"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [["0", "1", "2"], ["0", "0", "1", "2"]]


@pytest.mark.slow
@pytest.mark.launchers
def test_the_jobs_of_a_sweep_record_their_gpu(tmp_path, run_command):
    done = run_command(
        *(tmp_path, "-m", "mnist_flow.train", "-m", *QUICK, "seed=0,1,2"),
        *("hydra/launcher=local_pool", "hydra.launcher.n_jobs=3"),
        CUDA_VISIBLE_DEVICES="3,5,7",
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in tmp_path.glob("mlruns/*/*/artifacts/environment/machine.json")]
    assert sorted(record["variables"]["CUDA_VISIBLE_DEVICES"] for record in records) == ["3", "5", "7"]
