"""What a run said is an artifact of it."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from mnist_flow import tracking
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.runtime.console import Console
from mnist_flow.tracking import delivery
from support import QUICK, wait_until


def read(run_id):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/console.txt")


def test_a_run_keeps_what_it_said(store, compose_config):
    run_experiment(compose_config(*QUICK))
    (run,) = store.search_runs(["1"])
    said = read(run.info.run_id)
    assert "epoch 1/2  loss" in said
    assert "test accuracy" in said


def test_what_is_said_is_sent_meanwhile_and_a_run_that_goes_on_keeps_it(store, tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "HEARTBEAT_SECONDS", 0.05)
    experiment_id = tracking.get_or_create_experiment("x")
    run_id = store.create_run(experiment_id).info.run_id
    options = tracking.DeliveryOptions(0, tmp_path / "undelivered")
    console = Console()
    run = tracking.TrackedRun(run_id, experiment_id, options)
    run.keep_console(console)
    console.hear("first\n")
    wait_until(lambda: any(file.path == "console.txt" for file in store.list_artifacts(run_id)))
    console.hear("http://ada:sesame@host\n")
    run.end("KILLED")
    assert read(run_id) == "first\nhttp://***@host\n"
    run = tracking.TrackedRun(run_id, experiment_id, options, taken_up=True)
    console.forget()
    run.keep_console(console)
    console.hear("goes on\n")
    run.end("FINISHED")
    assert read(run_id) == "first\nhttp://***@host\ngoes on\n"


def test_a_text_that_can_not_be_read_is_not_overwritten(store, tmp_path, capsys):
    experiment_id = tracking.get_or_create_experiment("x")
    run_id = store.create_run(experiment_id).info.run_id
    (tmp_path / "console.txt").write_bytes(b"\xff is no UTF-8")
    store.log_artifact(run_id, str(tmp_path / "console.txt"))
    console = Console()
    run = tracking.TrackedRun(run_id, experiment_id, tracking.DeliveryOptions(0, tmp_path / "kept"), taken_up=True)
    run.keep_console(console)
    console.hear("goes on\n")
    run.end("FINISHED")
    (other,) = {file.path for file in store.list_artifacts(run_id)} - {"console.txt"}
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/{other}") == "goes on\n"
    kept = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/console.txt", dst_path=str(tmp_path / "there"))
    assert Path(kept).read_bytes() == b"\xff is no UTF-8"


@pytest.mark.slow
@pytest.mark.launchers
def test_the_jobs_of_a_pool_keep_what_they_said_and_the_parent_keeps_its_own(store, tmp_path, run_command):
    sweep = ("-m", "mnist_flow.train", "-m", *QUICK, "seed=0,1", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")
    done = run_command(tmp_path, *sweep)
    assert done.returncode == 0, done.stderr
    for run in store.search_runs(["1"]):
        said = read(run.info.run_id)
        if run.data.tags["mnist_flow.kind"] == "sweep":
            assert "2 jobs: 0 skipped" in said
            assert "best val_accuracy first" in said
        else:
            assert [line.split()[:2] for line in said.splitlines()] == [["epoch", "1/2"], ["epoch", "2/2"]]
