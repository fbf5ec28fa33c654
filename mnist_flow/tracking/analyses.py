"""What an analysis adds to runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlflow

from mnist_flow.tracking.server import clear_errors


def log_files(run_id: str, files: Sequence[Path], folder: str) -> None:
    """Log local files to a folder of a run's artifacts."""
    client = mlflow.MlflowClient()
    with clear_errors():
        for file in files:
            client.log_artifact(run_id, str(file), folder)
