"""Sweeps on a real Ray cluster of two nodes, and on the one that Ray starts where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from commands import start_command
from support import (
    PROJECT_DIR,
    QUICK,
    assert_is_a_finished_sweep,
    command_environment,
    find_checkpoints,
    find_free_port,
    wait_until,
)

pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs pip install '.[ray]'")
pytestmark = pytest.mark.slow

TRAIN = ("-m", "mnist_flow.train", "-m", *QUICK, "hydra/launcher=ray", "tracking.experiment_name=cluster")
# One token for both nodes and the sweep: since 2.60 Ray asks for one.
RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def ray_node(folder: Path, *options: str) -> Iterator[None]:
    """A node with one CPU that works in the folder, as long as the block."""
    folder.mkdir()
    command = ["ray", "start", "--block", "--num-cpus=1", "--object-store-memory=80000000", *options]
    with (folder / "node.log").open("w") as log:
        process = subprocess.Popen(
            # Two nodes of one machine must not choose the same ports.
            [*command, "--min-worker-port=0", "--max-worker-port=0"],
            cwd=folder,
            env=command_environment(**RAY),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for_text(folder / "node.log", "Ray runtime started")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_text(file: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in file.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, file.read_text(encoding="utf-8")
        time.sleep(0.2)


@pytest.fixture
def cluster(tmp_path, ray_folder) -> Iterator[str]:
    """The address of a cluster of two nodes that work in the folders head and second."""
    address = f"127.0.0.1:{find_free_port()}"
    head = ["--head", f"--port={address.rpartition(':')[2]}", f"--temp-dir={ray_folder}", "--include-dashboard=false"]
    with (
        ray_node(tmp_path / "head", *head),
        # Both write their logs to one folder, and one is enough to print them.
        ray_node(tmp_path / "second", f"--address={address}", "--include-log-monitor=false"),
    ):
        yield address


def read_all(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def count_jobs(folder: Path) -> int:
    """Of a node: Hydra makes the folder of a job where the job runs."""
    return len(list(folder.glob("jobs/*")))


@pytest.mark.launchers
def test_a_sweep_runs_on_two_nodes_and_logs_to_a_server_that_asks_for_a_password(
    tmp_path, run_command, cluster, ray_folder, authenticated_server, monkeypatch
):
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    # Neither node was started with these.
    credentials = authenticated_server.credentials
    tracked = {"MLFLOW_TRACKING_URI": authenticated_server.uri, **credentials}
    folders = ["hydra.sweep.dir=jobs", "hydra.sweep.subdir=${hydra.job.num}"]
    done = run_command(laptop, *TRAIN, "reg=0,1e-5", *folders, **RAY, RAY_ADDRESS=cluster, **tracked)
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr

    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    jobs = assert_is_a_finished_sweep(mlflow.MlflowClient(authenticated_server.uri), "cluster", n_jobs=2)
    assert sorted(job.data.params["reg"] for job in jobs) == ["0.0", "1e-05"]
    assert [count_jobs(tmp_path / node) for node in ("head", "second")] == [1, 1]

    password = authenticated_server.password.encode()
    assert password not in done.stdout.encode() + done.stderr.encode()
    for folder in (laptop, tmp_path / "head", tmp_path / "second", ray_folder, authenticated_server.folder):
        assert password not in read_all(folder)


@pytest.mark.launchers
def test_code_of_ones_own_runs_on_both_nodes(tmp_path, run_command, cluster):
    mine = shutil.copytree(PROJECT_DIR / "examples/own_project", tmp_path / "mine")
    sweep = ("data=shapes", "model=residual", "model.blocks=1,2", "epochs=1", "tracking.experiment_name=cluster")
    folders = ["hydra/launcher=ray", "hydra.sweep.dir=jobs", "hydra.sweep.subdir=${hydra.job.num}"]
    train = ("-m", "mnist_flow.train", "--config-dir", "conf", "-m")
    done = run_command(mine, *train, *sweep, *folders, **RAY, RAY_ADDRESS=cluster)
    assert done.returncode == 0, done.stderr
    jobs = assert_is_a_finished_sweep(mlflow.MlflowClient(f"sqlite:///{mine / 'mlflow.db'}"), "cluster", n_jobs=2)
    assert {job.data.params["data.module"] for job in jobs} == {"lab.shapes"}
    assert [count_jobs(tmp_path / node) for node in ("head", "second")] == [1, 1]


def test_without_a_cluster_ray_starts_one_and_the_numbers_are_those_of_a_run_alone(tmp_path, run_command, ray_folder):
    # What the command leaves out, its workers leave out.
    changing = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "2"}
    local = {**RAY, "RAY_TMPDIR": str(ray_folder), **changing}
    done = run_command(
        tmp_path, *TRAIN, "optimizer.learning_rate=1e30,0.1", "hydra.launcher.ray.init.address=local", **local
    )
    assert done.returncode == 1
    assert "the loss became nan in epoch 1" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, "tracking.experiment_name=alone")
    assert done.returncode == 0, done.stderr

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    in_worker, alone = (fetch_run_at_rate(client, name, "0.1") for name in ("cluster", "alone"))
    assert in_worker.data.tags["mnist_flow.fingerprint"] == alone.data.tags["mnist_flow.fingerprint"]
    for metric in ("loss", "val_loss", "test_loss", "test_accuracy"):
        assert in_worker.data.metrics[metric] == alone.data.metrics[metric]


def test_ctrl_c_ends_the_jobs_and_closes_their_runs(tmp_path, run_command, ray_folder):
    arguments = ("-m", "mnist_flow.train", "-m", *QUICK, "epochs=100000", "seed=0,1", "hydra/launcher=ray")
    with (tmp_path / "output.txt").open("w") as output:
        local = {**RAY, "RAY_TMPDIR": str(ray_folder)}
        address = "hydra.launcher.ray.init.address=local"
        process = start_command(tmp_path, *arguments, address, stdout=output, stderr=output, **local)
    wait_until(lambda: len(find_checkpoints(tmp_path)) == 2, 180)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130
    printed = (tmp_path / "output.txt").read_text()
    assert "error: interrupted; the same command goes on with what is missing\n" in printed
    assert "go on in other processes" not in printed
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id])
    assert [run.info.status for run in runs] == ["KILLED"] * 3


def test_a_cluster_that_is_not_there_is_one_line(tmp_path, run_command, ray_folder):
    wanted = ["reg=0,1e-5", "hydra.launcher.ray.init.address=auto"]
    done = run_command(tmp_path, *TRAIN, *wanted, **RAY, RAY_TMPDIR=str(ray_folder))
    assert done.returncode == 2
    assert done.stderr == (
        "error: hydra/launcher=ray: no cluster is found; set RAY_ADDRESS=HOST:PORT, or "
        "hydra.launcher.ray.init.address=local\n"
    )


def fetch_run_at_rate(client: mlflow.MlflowClient, experiment_name: str, rate: str) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name(experiment_name)
    (run,) = client.search_runs([experiment.experiment_id], f"params.`optimizer.learning_rate` = '{rate}'")
    return run
