"""The real config, shrunk; temporary tracking stores; the command line in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mnist_flow import CONF_DIR
from support import command_environment

RunCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """TensorFlow fixes its threads at the first operation, which may be any test's."""
    from mnist_flow.training import configure_tensorflow

    configure_tensorflow(threads=1)


@pytest.fixture(autouse=True)
def no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the shell that runs the tests must not lead runs elsewhere."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def compose_config() -> Callable[..., DictConfig]:
    def compose_overrides(*overrides: str, config_name: str = "config") -> DictConfig:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            return compose(config_name, list(overrides))

    return compose_overrides


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """An empty SQLite store in a working directory of its own, as MLflow makes it by default."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Run `python ARGUMENTS` in a folder, as a user would, and return what it printed."""

    def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=command_environment(**variables),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
