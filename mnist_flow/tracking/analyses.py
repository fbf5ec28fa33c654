"""What an analysis adds to runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import mlflow

from mnist_flow.tracking import names
from mnist_flow.tracking.server import clear_errors


def adopt_analysis() -> str | None:
    """The run that `mlflow run` created for this analysis, marked as such; None outside `mlflow run`."""
    adopted = os.environ.get("MLFLOW_RUN_ID")
    if adopted:
        with clear_errors():
            mlflow.MlflowClient().set_tag(adopted, names.KIND_TAG, "analysis")
    return adopted


def log_files(run_id: str, files: Sequence[Path], folder: str) -> None:
    """Log local files to a folder of a run's artifacts."""
    client = mlflow.MlflowClient()
    with clear_errors():
        for file in files:
            client.log_artifact(run_id, str(file), folder)
