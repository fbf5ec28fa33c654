"""Sweeps through submitit. Its local launcher stands in for Slurm: the same job scripts and pickles, and no queue."""

from __future__ import annotations

import mlflow
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR
from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.request import read_requests
from support import QUICK, assert_is_a_finished_sweep

config = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.config", reason="needs pip install '.[slurm]'")


def test_the_keys_of_slurm_are_the_plugins():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        ours = compose("config", ["hydra/launcher=slurm"], return_hydra_config=True).hydra.launcher
    schema = OmegaConf.structured(config.SlurmQueueConf)
    OmegaConf.merge(schema, ours)  # raises where a key or a type is not the plugin's
    assert ours._target_ == schema._target_


@pytest.mark.parametrize("launcher", ["slurm", "submitit_local"])
def test_a_password_that_submitit_would_keep_in_a_file_is_refused(tmp_path, monkeypatch, launcher):
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()

        def read(uri):
            words = ["data=digits", "reg=0,1", f"hydra/launcher={launcher}", f"tracking.uri='{uri}'"]
            read_requests(loader.load_configuration("config", words, run_mode=RunMode.MULTIRUN))

        with pytest.raises(
            ConfigError, match=r"^tracking\.uri=http://\*\*\*@host: submitit would keep the password in "
        ):
            read("http://me:word@host")
        with pytest.raises(
            ConfigError, match=r"^tracking\.uri=postgresql://host/runs\?password=.*MLFLOW_TRACKING_URI$"
        ):
            read("postgresql://host/runs?password=word")
        assert list(tmp_path.iterdir()) == []
        # A user has no password to hide.
        read("postgresql://me@host/runs")


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_through_submitit_logs_to_a_server_that_asks_for_a_password(
    tmp_path, run_command, authenticated_server, monkeypatch
):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    credentials = authenticated_server.credentials
    done = run_command(
        sweep,
        *("-m", "mnist_flow.train", "-m", *QUICK, "reg=0,1e-5", "tracking.experiment_name=cluster"),
        "hydra/launcher=submitit_local",
        MLFLOW_TRACKING_URI=authenticated_server.uri,
        # A job would inherit it.
        TF_ENABLE_ONEDNN_OPTS="0",
        **credentials,
    )
    assert done.returncode == 0, done.stderr
    assert "left out, because results follow from the config alone: TF_ENABLE_ONEDNN_OPTS" in done.stderr
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    jobs = assert_is_a_finished_sweep(mlflow.MlflowClient(authenticated_server.uri), "cluster", n_jobs=2)
    assert sorted(job.data.params["reg"] for job in jobs) == ["0.0", "1e-05"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", authenticated_server.uri)
    machine = mlflow.artifacts.load_dict(f"{jobs[0].info.artifact_uri}/environment/machine.json")
    assert "TF_ENABLE_ONEDNN_OPTS" not in machine["variables"]

    kept = [path for path in sweep.rglob("*") if path.is_file()]
    assert any(path.suffix == ".pkl" for path in kept)
    assert not any(authenticated_server.password.encode() in path.read_bytes() for path in kept)
