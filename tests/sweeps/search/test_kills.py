"""A search whose processes are killed ends with every trial once."""

from __future__ import annotations

import signal
from collections import Counter

import psutil
import pytest

from commands import start_command
from mnist_flow.runtime.processes import is_alive
from support import wait_until

SEARCH = (
    *("-m", "mnist_flow.train", "-m", "hydra/sweeper=optuna", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2"),
    *("data=digits", "model=mlp", "model.hidden_units=[16]", "epochs=12", "batch_size=8", "tracking.experiment_name=x"),
    *("optimizer.learning_rate=tag(log,interval(0.001,1))", "hydra.sweeper.n_trials=6"),
)


def fetch(client):
    experiment = client.get_experiment_by_name("x")
    return [] if experiment is None else client.search_runs([experiment.experiment_id], "")


def find_living(client):
    """Process ids of trials that are RUNNING in processes that live."""
    owners = [
        run.data.tags["mnist_flow.process"]
        for run in fetch(client)
        if run.info.status == "RUNNING" and run.data.tags["mnist_flow.kind"] == "train"
    ]
    return [int(owner.split("/")[-2]) for owner in owners if is_alive(owner)]


def kill_one(client):
    """Kill the process of a trial; False where none is there, or it ended just now."""
    try:
        psutil.Process(find_living(client)[0]).kill()
    except (IndexError, psutil.NoSuchProcess):
        return False
    return True


@pytest.mark.slow
@pytest.mark.launchers
@pytest.mark.timeout(600)
def test_killed_workers_and_a_killed_main_process_leave_every_trial_once(store, tmp_path):
    search = start_command(tmp_path, *SEARCH)
    for _ in range(2):
        wait_until(lambda: kill_one(store))
    wait_until(lambda: find_living(store))
    search.kill()
    search.wait()
    again = start_command(tmp_path, *SEARCH)
    assert again.wait(timeout=400) == 0
    runs = fetch(store)
    trials = [run for run in runs if run.data.tags["mnist_flow.kind"] == "train"]
    (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials"] == 6
    assert "RUNNING" not in {run.info.status for run in trials}
    finished = Counter(run.data.tags["mnist_flow.trial"] for run in trials if run.info.status == "FINISHED")
    # One that was killed twice by chance is a failed trial.
    assert len(finished) + parent.data.metrics["trials_failed"] == 6
    assert set(finished.values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ctrl_c_closes_the_parent_with_its_tables(store, tmp_path):
    search = start_command(tmp_path, *SEARCH)
    wait_until(lambda: find_living(store))
    search.send_signal(signal.SIGINT)
    assert search.wait(timeout=100) == 130
    runs = fetch(store)
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
    (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
    assert parent.info.status == "KILLED"
    assert parent.data.metrics["trials"] >= 1
