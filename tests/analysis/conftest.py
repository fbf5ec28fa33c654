"""Studies of runs that a module trained and measured in a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR
from mnist_flow.analysis.study import StudyResult, run_study


@pytest.fixture
def analyze(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StudyResult]]:
    """Overrides → a study of the store in the folder `measured`, which is a module's own, drawn into `tmp_path`."""
    monkeypatch.chdir(measured)

    def run(*overrides: str) -> StudyResult:
        store = f"tracking.uri='sqlite:///{measured / 'mlflow.db'}'"
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("analyze", [f"output_dir={tmp_path}", store, *overrides])
        return run_study(cfg)

    yield run
    mlflow.set_tracking_uri(None)
