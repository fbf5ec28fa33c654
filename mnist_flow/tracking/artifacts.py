"""Artifacts of runs: texts and arrays, and why one can't be had."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import mlflow
import numpy as np
import yaml

from mnist_flow.errors import TrackingError
from mnist_flow.tracking.places import describe_move
from mnist_flow.tracking.server import clear_errors, shorten

# Downloads at a time: most of the work is waiting for the artifact store.
_THREADS = 8


def has_artifact(run_id: str, path: str) -> bool:
    """Whether a run has a file at this path.

    Raises:
        TrackingError: the server does not answer.
    """
    with clear_errors():
        return path in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id, path.rpartition("/")[0])}


def fetch_text(run_id: str, path: str) -> str:
    """A text artifact of a run.

    Raises:
        TrackingError: the server does not answer, or the run has no such artifact.
    """
    with _clear_artifact_errors(run_id, path):
        return str(mlflow.artifacts.load_text(f"runs:/{run_id}/{path}"))


def fetch_config(run_id: str, path: str = "config/config.yaml") -> dict[str, Any]:
    """Fetch a config that a run has logged.

    Raises:
        TrackingError: the server does not answer, or the run has no such artifact, or it is damaged.
    """
    try:
        content = yaml.safe_load(fetch_text(run_id, path))
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise TrackingError(f"run_id={run_id}: its artifact {path} is no config")
    return content


def fetch_arrays(run_id: str, path: str) -> dict[str, np.ndarray]:
    """The arrays of a run's .npz artifact, by name; none of them may hold Python objects.

    Raises:
        TrackingError: the server does not answer, or the run has no such artifact, or it is damaged.
    """
    with _clear_artifact_errors(run_id, path), tempfile.TemporaryDirectory(prefix="mnist_flow_") as folder:
        file = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{path}", dst_path=folder)
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


def fetch_texts(run_ids: Sequence[str], path: str) -> Iterator[tuple[str, str | TrackingError]]:
    """A text artifact of each run, in order: the text, or why it can't be had."""

    def fetch(run_id: str) -> str | TrackingError:
        try:
            return fetch_text(run_id, path)
        except TrackingError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from zip(run_ids, pool.map(fetch, run_ids), strict=True)


@contextmanager
def _clear_artifact_errors(run_id: str, path: str) -> Iterator[None]:
    """Each store of artifacts, and what reads a damaged file, raises errors of its own kinds."""
    try:
        yield
    except Exception as error:
        move = describe_run_move(run_id)
        trouble = f"its artifacts {move}" if move else f"its artifact {path} can't be had: {shorten(error)}"
        raise TrackingError(f"run_id={run_id}: {trouble}") from error


def describe_run_move(run_id: str) -> str | None:
    """Describe that a run's artifacts are looked for where its store was; None where they are not, or it is unknown."""
    with suppress(Exception):
        return describe_move(mlflow.MlflowClient().get_run(run_id).info.artifact_uri)
    return None
