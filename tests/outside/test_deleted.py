"""What someone deletes behind our back is noticed by the command that needs it, told with the remedy, or made anew."""

from __future__ import annotations

import shlex
import shutil
import signal
from pathlib import Path

import mlflow
import pytest

from commands import Command, start_command
from mnist_flow.config.overrides import type_override
from support import QUICK, find_checkpoints, wait_until

TRAIN = ("-m", "mnist_flow.train")


def connect(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def fetch(folder: Path, kind: str) -> list[mlflow.entities.Run]:
    """Runs that are not deleted."""
    client = connect(folder)
    ids = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(ids, f"tags.`mnist_flow.kind` = '{kind}'"))


def start_training(folder: Path, *arguments: str) -> Command:
    """Start a command, and wait until it has finished an epoch; what it says is in output.txt."""
    with (folder / "output.txt").open("w") as output:
        process = start_command(folder, *TRAIN, *QUICK, *arguments, stdout=output, stderr=output)
    wait_until(lambda: find_checkpoints(folder))
    return process


def read_error(folder: Path) -> str:
    (line,) = [line for line in (folder / "output.txt").read_text().splitlines() if line.startswith("error: ")]
    return line


def test_a_run_that_is_deleted_while_it_is_trained_is_told_kept_and_made_anew(tmp_path, run_command):
    process = start_training(tmp_path, "epochs=60")
    (run,) = fetch(tmp_path, "train")
    run_id = run.info.run_id
    connect(tmp_path).delete_run(run_id)
    assert process.wait(timeout=180) == 1
    remedy = f"the run {run_id} is deleted; restore it: mlflow runs restore --run-id {run_id}"
    assert remedy in read_error(tmp_path)
    # Told at once, too, not only after hours.
    assert (
        f"WARNING mnist_flow.tracking.delivery: run {run_id}: tracking server " in (tmp_path / "output.txt").read_text()
    )
    assert "Traceback" not in (tmp_path / "output.txt").read_text()

    anew = run_command(tmp_path, *TRAIN, *QUICK)
    assert anew.returncode == 0, anew.stderr
    assert remedy in anew.stderr
    (made,) = fetch(tmp_path, "train")
    assert (made.info.status, made.info.run_id != run_id) == ("FINISHED", True)
    # Who wants it back gets it whole.
    connect(tmp_path).restore_run(run_id)
    assert run_command(tmp_path, "-m", "mnist_flow.sync").returncode == 0
    restored = connect(tmp_path).get_run(run_id)
    assert (restored.info.status, "test_accuracy" in restored.data.metrics) == ("FINISHED", True)


def test_a_store_deleted_while_a_run_is_trained_is_one_line_and_its_record_can_be_given_up(tmp_path, run_command):
    process = start_training(tmp_path, "epochs=60")
    (tmp_path / "mlflow.db").unlink()
    assert process.wait(timeout=180) == 1
    (record,) = (tmp_path / "undelivered").iterdir()
    assert f"run {record.name} is FINISHED, but tracking server sqlite:///" in read_error(tmp_path)
    printed = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in printed
    assert "autoflush" not in printed
    # In a new store the run can't be found.
    assert run_command(tmp_path, *TRAIN, *QUICK).returncode == 0
    delivered = run_command(tmp_path, "-m", "mnist_flow.sync")
    remedy = f"python -m mnist_flow.runs action=delete_records {type_override('run_ids', [record.name])}"
    assert (delivered.returncode, delivered.stderr.endswith(f"or give the record up: {remedy}\n")) == (1, True)
    given_up = run_command(tmp_path, *shlex.split(remedy)[1:], "apply=true")
    assert given_up.returncode == 0, given_up.stderr
    assert not record.exists()
    assert len(fetch(tmp_path, "train")) == 1


def test_checkpoints_that_are_deleted_while_a_run_is_trained_are_made_anew(tmp_path):
    process = start_training(tmp_path, "epochs=100")
    # Moved away first: a file that the run writes meanwhile would stop the deletion.
    shutil.rmtree((tmp_path / "checkpoints").rename(tmp_path / "deleted"))
    wait_until(lambda: find_checkpoints(tmp_path) or process.poll() is not None)
    assert process.wait(timeout=180) == 0
    assert [run.info.status for run in fetch(tmp_path, "train")] == ["FINISHED"]
    assert not (tmp_path / "checkpoints").exists()


def test_an_interrupted_run_whose_checkpoint_is_deleted_is_trained_from_the_first_epoch(tmp_path, run_command):
    process = start_training(tmp_path, "epochs=30", "seed=1")
    process.send_signal(signal.SIGKILL)
    process.wait()
    shutil.rmtree(tmp_path / "checkpoints")
    done = run_command(tmp_path, *TRAIN, *QUICK, "epochs=30", "seed=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1/30")
    assert sorted(run.info.status for run in fetch(tmp_path, "train")) == ["FINISHED", "KILLED"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run_command) -> Path:
    folder = tmp_path_factory.mktemp("swept")
    done = run_command(folder, *TRAIN, "-m", *QUICK, "epochs=1", "seed=0,1")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_sweep_whose_parent_is_deleted_trains_nothing_again_and_a_larger_one_has_a_new_parent(swept, run_command):
    (parent,) = fetch(swept, "sweep")
    connect(swept).delete_run(parent.info.run_id)
    again = run_command(swept, *TRAIN, "-m", *QUICK, "epochs=1", "seed=0,1")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "2 jobs: 2 skipped, 0 resumed, 0 new")
    larger = run_command(swept, *TRAIN, "-m", *QUICK, "epochs=1", "seed=0,1,2")
    assert (larger.returncode, larger.stdout.splitlines()[0]) == (0, "3 jobs: 2 skipped, 0 resumed, 1 new")
    (made,) = fetch(swept, "sweep")
    assert (made.info.status, made.data.metrics["jobs_finished"]) == ("FINISHED", 3)


def test_one_run_of_a_sweep_that_is_deleted_is_trained_anew(swept, run_command):
    run = next(run for run in fetch(swept, "train") if run.data.params["seed"] == "0")
    connect(swept).delete_run(run.info.run_id)
    again = run_command(swept, *TRAIN, "-m", *QUICK, "epochs=1", "seed=0,1")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "2 jobs: 1 skipped, 0 resumed, 1 new")


def test_artifacts_that_are_deleted_are_told_with_the_run_and_all_else_is_measured(swept, run_command):
    first, *others = fetch(swept, "train")
    client = connect(swept)
    model = client.get_logged_model(first.outputs.model_outputs[0].model_id)
    shutil.rmtree(model.artifact_location)
    done = run_command(swept, "-m", "mnist_flow.evaluate", "measure=rotation", "measure.rotation.degrees=[0]")
    assert done.returncode == 1
    assert done.stderr.count(f"run {first.info.run_id}: its model can't be loaded (") == 1
    assert done.stderr.splitlines()[-1] == f"error: 1 of {len(others) + 1} evaluations failed, each told above"
    assert f"{len(others) + 1} evaluations: 0 done before" in done.stdout
    assert len(fetch(swept, "evaluation")) == len(others)


def test_a_parent_that_is_deleted_while_its_sweep_runs_is_told_and_its_jobs_are_kept(tmp_path, run_command):
    arguments = ("epochs=60", "seed=0,1")
    process = start_training(tmp_path, "-m", *arguments)
    (parent,) = fetch(tmp_path, "sweep")
    connect(tmp_path).delete_run(parent.info.run_id)
    assert process.wait(timeout=180) == 1
    assert f"the run {parent.info.run_id} is deleted; restore it: mlflow runs restore" in read_error(tmp_path)
    assert [run.info.status for run in fetch(tmp_path, "train")] == ["FINISHED"] * 2
    again = run_command(tmp_path, *TRAIN, "-m", *QUICK, *arguments)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "2 jobs: 2 skipped, 0 resumed, 0 new")


def test_an_experiment_that_is_deleted_while_its_sweep_runs_is_one_line_with_the_remedy(tmp_path, run_command):
    arguments = ("epochs=60", "seed=0,1,2")
    process = start_training(tmp_path, "-m", *arguments)
    client = connect(tmp_path)
    experiment_id = client.get_experiment_by_name("mnist_flow").experiment_id
    client.delete_experiment(experiment_id)
    assert process.wait(timeout=180) in (1, 2)
    output = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in output
    remedy = f"mlflow experiments restore --experiment-id {experiment_id}"
    assert any(remedy in line for line in output.splitlines() if line.startswith("error: "))
    client.restore_experiment(experiment_id)
    again = run_command(tmp_path, *TRAIN, "-m", *QUICK, *arguments)
    assert again.returncode == 0, again.stderr
    assert {run.data.params["seed"] for run in fetch(tmp_path, "train") if run.info.status == "FINISHED"} == set("012")
