"""A process of a pool when its main process is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support import command_environment

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
