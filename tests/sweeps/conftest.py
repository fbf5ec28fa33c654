"""What sweeps and searches share: configs of sweeps that no command starts, and folders for clusters."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from mnist_flow import CONF_DIR
from mnist_flow.sweeps.session import open_session
from support import QUICK


@pytest.fixture
def compose_sweep(store: mlflow.MlflowClient) -> Iterator[Callable[..., DictConfig]]:
    """Overrides → the config of a sweep in the experiment x of a store, within a command's session."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"), open_session():
        loader = GlobalHydra.instance().config_loader()

        def compose(*overrides: str) -> DictConfig:
            typed = [*QUICK, "tracking.experiment_name=x", *overrides]
            return loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)

        yield compose


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray keeps sockets and logs: their paths may have 107 letters, which pytest's own folders exceed."""
    folder = Path(tempfile.mkdtemp(prefix="ray_"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
