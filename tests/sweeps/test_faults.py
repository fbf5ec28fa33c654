"""Processes killed, servers away, disks full: nothing is lost, repeated or misfiled."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest

from commands import Command, start_command
from support import QUICK, MlflowServer, find_checkpoints, mount_disk, wait_until

TRAIN = ("-m", "mnist_flow.train")
EPOCH_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def start(folder: Path, *arguments: str, **variables: str) -> Command:
    """A command in the background; what it says is in output.txt."""
    with (folder / "output.txt").open("w") as output:
        return start_command(folder, *arguments, stdout=output, stderr=output, **variables)


def find_workers(process: Command) -> list[psutil.Process]:
    """The pool's processes that train: on Linux children of the one that they are forked from, elsewhere joblib's."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        if sys.platform != "linux":
            return [child for child in children if "popen_loky" in " ".join(child.cmdline())]
        servers = {child.pid for child in children if "multiprocessing.forkserver" in " ".join(child.cmdline())}
        return [child for child in children if child.ppid() in servers]
    except psutil.NoSuchProcess:
        return []


def fetch(folder: Path, kind: str, experiment: str = "kills") -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    assert {one.name for one in client.search_experiments()} == {"Default", experiment}
    assert client.search_runs(["0"]) == []
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], f"tags.`mnist_flow.kind` = '{kind}'", max_results=1000))


def assert_each_step_once(client: mlflow.MlflowClient, run_id: str, epochs: int) -> None:
    for name in EPOCH_METRICS:
        assert [point.step for point in client.get_metric_history(run_id, name)] == list(range(1, epochs + 1))
    for name in ("test_accuracy", "test_loss", "fit_seconds"):
        assert len(client.get_metric_history(run_id, name)) == 1


def kill_and_finish(folder: Path, n_jobs: int, seed: int) -> None:
    """A sweep whose worker or main process is killed at a random moment, typed once more."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    epochs = 6
    sweep = (
        *(*TRAIN, "-m", *QUICK, f"epochs={epochs}", f"seed=range({n_jobs})", "hydra/launcher=local_pool"),
        *("hydra.launcher.n_jobs=2", "tracking.experiment_name=kills"),
    )
    process = start(folder, *sweep)
    wait_until(lambda: len(find_workers(process)) == 2)
    time.sleep(rng.uniform(0, 10 + n_jobs))
    victims = find_workers(process)
    if rng.random() < 0.5 and victims:
        rng.choice(victims).kill()
    else:
        process.kill()
    process.wait(timeout=200)

    again = start(folder, *sweep)
    assert again.wait(timeout=550) == 0, (folder / "output.txt").read_text()
    runs = fetch(folder, "train")
    assert not [run for run in runs if run.info.status == "RUNNING"]
    finished = [run for run in runs if run.info.status == "FINISHED"]
    fingerprints = Counter(run.data.tags["mnist_flow.fingerprint"] for run in finished)
    assert len(fingerprints) == n_jobs
    assert set(fingerprints.values()) == {1}
    assert sorted(int(run.data.params["seed"]) for run in finished) == list(range(n_jobs))
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for run in finished:
        assert_each_step_once(client, run.info.run_id, epochs)
    (parent,) = fetch(folder, "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["jobs_finished"] == n_jobs
    assert {run.data.tags["mlflow.parentRunId"] for run in finished} == {parent.info.run_id}
    assert not (folder / "checkpoints").exists() or not list((folder / "checkpoints").glob("*/epoch-*"))


@pytest.mark.slow
@pytest.mark.launchers
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [2])
def test_a_killed_sweep_of_few_jobs_is_finished_by_the_same_command(tmp_path, seed):
    kill_and_finish(tmp_path, 6, seed)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.launchers), *range(1, 20)])
def test_a_killed_sweep_of_thirty_jobs_is_finished_by_the_same_command(tmp_path, seed):
    kill_and_finish(tmp_path, 30, 100 + seed)


@pytest.mark.slow
@pytest.mark.launchers
def test_no_process_outlives_a_sweep_whose_main_process_was_killed(tmp_path):
    # Two jobs and three processes: the third has never had a job.
    pool = ("hydra/launcher=local_pool", "hydra.launcher.n_jobs=3", "tracking.experiment_name=kills")
    process = start(tmp_path, *TRAIN, "-m", *QUICK, "epochs=60", "seed=0,1", *pool)
    wait_until(lambda: len(find_checkpoints(tmp_path)) == 2)
    processes = psutil.Process(process.pid).children(recursive=True)
    assert len(find_workers(process)) >= 3
    process.kill()
    process.wait()
    gone, left = psutil.wait_procs(processes, timeout=120)
    assert left == []
    # The fork server and the process that clears up after a pool are among them.
    assert len(gone) > 3
    assert [run.info.status for run in fetch(tmp_path, "train")] == ["FINISHED"] * 2


def finish_through_an_outage(server: MlflowServer, folder: Path, seconds: float) -> None:
    """One run whose server is killed in mid-training and started again after some seconds."""
    epochs = 300
    arguments = (*TRAIN, *QUICK, f"epochs={epochs}", "tracking.experiment_name=outage")
    client = mlflow.MlflowClient(server.uri)
    process = start(folder, *arguments, MLFLOW_TRACKING_URI=server.uri)
    wait_until(lambda: "epoch 5/" in (folder / "output.txt").read_text())
    server.kill()
    seen = count_epochs(folder)
    time.sleep(seconds)
    # It went on meanwhile, or was done and waited.
    assert count_epochs(folder) > seen
    server.start()
    assert process.wait(timeout=200) == 0, (folder / "output.txt").read_text()

    experiment = client.get_experiment_by_name("outage")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert_each_step_once(client, run.info.run_id, epochs)
    folders = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert {"config", "environment", "confusion_matrix", "tables", "predictions"} <= folders
    assert len(run.inputs.dataset_inputs) == 3
    assert [model.status for model in client.search_logged_models([experiment.experiment_id])] == ["READY"]
    assert sorted(path.name for path in folder.iterdir()) == ["output.txt", "server"]


def count_epochs(folder: Path) -> int:
    return (folder / "output.txt").read_text().count("epoch ")


@pytest.mark.slow
@pytest.mark.launchers
def test_a_run_goes_on_while_its_server_is_away_and_everything_arrives(tmp_path, mlflow_server):
    finish_through_an_outage(mlflow_server, tmp_path, seconds=5)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_outlives_a_minute_without_its_server(tmp_path, mlflow_server):
    finish_through_an_outage(mlflow_server, tmp_path, seconds=60)


@pytest.mark.slow
@pytest.mark.launchers
def test_a_record_that_the_server_never_took_is_kept_and_delivered_exactly_once(tmp_path, mlflow_server, run_command):
    arguments = (*TRAIN, *QUICK, "epochs=300", "tracking.patience=1", "tracking.experiment_name=away")
    process = start(tmp_path, *arguments, MLFLOW_TRACKING_URI=mlflow_server.uri)
    wait_until(lambda: "epoch 5/" in (tmp_path / "output.txt").read_text())
    mlflow_server.kill()
    assert process.wait(timeout=200) == 1
    (record,) = (tmp_path / "undelivered").iterdir()
    last = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert last == (
        f"error: run {record.name} is FINISHED, but tracking server {mlflow_server.uri}: does not answer. Its record "
        f"is kept in {record}; deliver it: python -m mnist_flow.sync tracking.undelivered_dir={record.parent}"
    )

    sync = ("-m", "mnist_flow.sync")
    away = run_command(tmp_path, *sync, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert away.returncode == 1
    assert "does not answer" in away.stderr
    assert record.is_dir()

    mlflow_server.start()
    # Two at once, and once more.
    both = [start(tmp_path, *sync) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    assert not (tmp_path / "undelivered").exists()
    assert "nothing to deliver" in run_command(tmp_path, *sync).stdout
    client = mlflow.MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("away")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert_each_step_once(client, run.info.run_id, 300)
    assert len(client.search_logged_models([experiment.experiment_id])) == 1
    # The same command finds it.
    again = run_command(tmp_path, *arguments, MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert f"run {run.info.run_id} has the same config and data and is finished" in again.stdout


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, run_command):
    hard = ["model.dropout=0.2", "noise=gaussian", "augmentation=shift", "optimizer=adam", "schedule=plateau"]
    # The loss at a high learning rate goes up and down, so that the plateau's state changes with nearly every epoch.
    hard += ["optimizer.learning_rate=0.05", "schedule.patience=1", "schedule.factor=0.9", "training.ema_momentum=0.9"]
    hard += ["training.keep_best_epoch=true"]
    arguments = (*TRAIN, *QUICK, *hard, "epochs=30", "tracking.experiment_name=kills")
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    killed.mkdir()
    assert run_command(alone, *arguments).returncode == 0
    process = start(killed, *arguments)
    wait_until(lambda: count_epochs(killed) >= 12)
    process.kill()
    process.wait()
    (checkpoint_folder,) = find_checkpoints(killed)
    run_id = checkpoint_folder.name
    done = run_command(killed, *arguments)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/" not in done.stdout

    (first,), (second,) = fetch(alone, "train"), fetch(killed, "train")
    assert second.info.run_id == run_id
    clients = [mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}") for folder in (alone, killed)]
    for name in set(first.data.metrics) - {"fit_seconds"}:
        histories = [
            [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            for client, run in zip(clients, (first, second), strict=True)
        ]
        assert histories[0] == histories[1], name
    rates = [point.value for point in clients[1].get_metric_history(run_id, "learning_rate")]
    assert len(set(rates[:12])) > 1
    assert len(set(rates[12:])) > 1
    probabilities = [
        np.load(client.download_artifacts(run.info.run_id, "predictions/test.npz", str(folder)))["probabilities"]
        for client, run, folder in zip(clients, (first, second), (alone, killed), strict=True)
    ]
    assert np.array_equal(*probabilities)
    weights = [next((folder / "mlruns").rglob("model.keras")) for folder in (alone, killed)]
    import keras

    first_model, second_model = (keras.saving.load_model(path) for path in weights)
    for one, other in zip(first_model.get_weights(), second_model.get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.fixture
def small_disk(tmp_path):
    """A folder with little room."""
    with mount_disk(tmp_path / "disk", "size=3m") as disk:
        yield disk


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("checkpoints", marks=[pytest.mark.slow, pytest.mark.launchers]),
        "store",
        pytest.param("temporary files", marks=[pytest.mark.slow, pytest.mark.launchers]),
    ],
)
def test_a_full_disk_is_one_clear_line(tmp_path, small_disk, run_command, what):
    work = tmp_path / "work"
    work.mkdir()
    big = ["data=digits", "epochs=1", "optimizer=adam"]
    if what == "checkpoints":
        done = run_command(work, *TRAIN, *big, f"training.checkpoint_dir={small_disk / 'checkpoints'}")
        expected = f"training.checkpoint_dir={small_disk / 'checkpoints'}: can't be written (No space left on device)"
    elif what == "temporary files":
        done = run_command(work, *TRAIN, *big, TMPDIR=str(small_disk))
        expected = "No space left on device"
    else:
        done = run_command(small_disk, *TRAIN, *big, "training.checkpoint_dir=null")
        expected = "No space left on device"
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert expected in line


@pytest.mark.slow
def test_an_unwritable_artifact_store_is_one_line_before_training(tmp_path, run_command):
    arguments = (*TRAIN, *QUICK, "tracking.experiment_name=kills")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    # A file where the folder of artifacts would be: refused to root as well.
    client.create_experiment("kills", artifact_location=str(tmp_path / "taken" / "artifacts"))
    (tmp_path / "taken").write_text("")
    done = run_command(tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"can't be written to {tmp_path / 'taken'}" in line
    (tmp_path / "taken").unlink()
    assert run_command(tmp_path, *arguments).returncode == 0
    (run,) = fetch(tmp_path, "train")
    assert run.info.status == "FINISHED"
    assert_each_step_once(client, run.info.run_id, 2)
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} >= {"config", "predictions"}


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_whose_records_are_refused_ends_and_says_so(tmp_path, run_command):
    arguments = (*TRAIN, "-m", *QUICK, "epochs=100", "reg=0,1e-4", "tracking.patience=1")
    process = start(tmp_path, *arguments)
    wait_until(lambda: find_checkpoints(tmp_path))
    # A file where the folder of artifacts was: refused to root as well.
    (tmp_path / "mlruns").rename(tmp_path / "before")
    (tmp_path / "mlruns").write_text("")
    assert process.wait(timeout=200) == 1
    said = (tmp_path / "output.txt").read_text()
    assert "2 of 2 jobs failed: " in said
    assert "waiting for run" not in said
    assert len(list((tmp_path / "undelivered").glob("*/record.json"))) == 3
    (tmp_path / "mlruns").unlink()
    (tmp_path / "before").rename(tmp_path / "mlruns")
    again = run_command(tmp_path, *arguments)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("delivered run ") == 3
    assert "2 jobs: 2 skipped, 0 resumed, 0 new" in again.stdout


def test_a_read_only_working_directory_is_one_clear_line(tmp_path, run_command, mlflow_server):
    with mount_disk(tmp_path / "read_only", "ro,size=1m") as folder:
        local = run_command(folder, *TRAIN, *QUICK)
        remote = run_command(folder, *TRAIN, *QUICK, MLFLOW_TRACKING_URI=mlflow_server.uri)
        fine = run_command(
            folder, *TRAIN, *QUICK, "training.checkpoint_dir=null", MLFLOW_TRACKING_URI=mlflow_server.uri
        )
    for done in (local, remote):
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
    assert remote.stderr == (
        "error: training.checkpoint_dir=checkpoints: can't be written (read-only); choose another folder, or "
        "training.checkpoint_dir=null for none\n"
    )
    assert fine.returncode == 0, fine.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixteen_commands_at_once_on_a_new_store_lose_nothing(tmp_path):
    folders = []
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for seed in range(16):
        folder = tmp_path / str(seed)
        folder.mkdir()
        folders.append(folder)
    commands = [
        start(folder, *TRAIN, *QUICK, f"seed={seed}", "tracking.experiment_name=kills", MLFLOW_TRACKING_URI=uri)
        for seed, folder in enumerate(folders)
    ]
    statuses = [command.wait(timeout=500) for command in commands]
    assert statuses == [0] * 16, [(folder / "output.txt").read_text() for folder in folders]
    runs = fetch(tmp_path, "train")
    assert [run.info.status for run in runs] == ["FINISHED"] * 16
    assert sorted(int(run.data.params["seed"]) for run in runs) == list(range(16))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixteen_workers_of_one_sweep_on_a_new_store_lose_nothing(tmp_path, run_command):
    pool = ("hydra/launcher=local_pool", "hydra.launcher.n_jobs=16", "tracking.experiment_name=kills")
    done = run_command(tmp_path, *TRAIN, "-m", *QUICK, "seed=range(16)", *pool)
    assert done.returncode == 0, done.stderr
    runs = fetch(tmp_path, "train")
    assert [run.info.status for run in runs] == ["FINISHED"] * 16
    assert len({run.data.tags["mnist_flow.process"] for run in runs}) > 8
