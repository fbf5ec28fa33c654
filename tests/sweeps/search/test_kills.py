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
    *("-m", "mnist_flow.train", "-m", "hydra/sweeper=optuna"),
    *("data=digits", "model=mlp", "model.hidden_units=[16]", "epochs=12", "batch_size=8", "tracking.experiment_name=x"),
    "tracking.log_figures=false",
    "optimizer.learning_rate=tag(log,interval(0.001,1))",
)
POOL = ("hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")


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


def count_finished(client):
    return sum(run.info.status == "FINISHED" for run in fetch(client))


def assert_every_trial_is_there_once(client, n_trials):
    runs = fetch(client)
    trials = [run for run in runs if run.data.tags["mnist_flow.kind"] == "train"]
    (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials"] == n_trials
    assert "RUNNING" not in {run.info.status for run in trials}
    finished = Counter(run.data.tags["mnist_flow.trial"] for run in trials if run.info.status == "FINISHED")
    # One that was killed twice by chance is a failed trial.
    assert len(finished) + parent.data.metrics["trials_failed"] == n_trials
    assert set(finished.values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("n_trials", "n_kills"), [pytest.param(6, 3, marks=pytest.mark.launchers), pytest.param(40, 20)]
)
def test_killed_workers_and_killed_main_processes_leave_every_trial_once(store, tmp_path, n_trials, n_kills):
    command = *SEARCH, *POOL, f"hydra.sweeper.n_trials={n_trials}"
    search = start_command(tmp_path, *command)
    for number in range(n_kills):
        # Not all at the beginning.
        wait_until(lambda number=number: count_finished(store) >= number * n_trials // n_kills - n_kills // 2)
        if number % 2 == 0:
            wait_until(lambda: kill_one(store))
        else:
            wait_until(lambda: find_living(store))
            search.kill()
            search.wait()
            search = start_command(tmp_path, *command)
    assert search.wait(timeout=900) == 0
    assert_every_trial_is_there_once(store, n_trials)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ctrl_c_closes_the_parent_with_its_tables(store, tmp_path):
    search = start_command(tmp_path, *SEARCH, *POOL, "hydra.sweeper.n_trials=6")
    wait_until(lambda: find_living(store))
    search.send_signal(signal.SIGINT)
    assert search.wait(timeout=100) == 130
    runs = fetch(store)
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
    (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
    assert parent.info.status == "KILLED"
    assert parent.data.metrics["trials"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("launcher", ["ray", "submitit_local"])
def test_the_trial_of_a_worker_that_is_lost_on_a_cluster_is_tried_again(store, tmp_path, ray_folder, launcher):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher")
    of_launcher = {"ray": ["hydra.launcher.ray.init.address=local"], "submitit_local": []}[launcher]
    command = *SEARCH, f"hydra/launcher={launcher}", *of_launcher, "hydra.sweeper.n_trials=4"
    search = start_command(tmp_path, *command, RAY_TMPDIR=str(ray_folder), RAY_USAGE_STATS_ENABLED="0")
    wait_until(lambda: kill_one(store))
    assert search.wait(timeout=300) == 0
    assert_every_trial_is_there_once(store, 4)
