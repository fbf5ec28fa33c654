"""The only file that talks to MLflow, writing and reading."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.data
import pandas as pd
from filelock import FileLock
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from sqlalchemy.exc import SQLAlchemyError

from mnist_flow.credentials import hide_credentials
from mnist_flow.errors import TrackingError

if TYPE_CHECKING:
    import keras

    from mnist_flow.arrays import FloatArray
    from mnist_flow.data import DataSet, Images

log = logging.getLogger(__name__)

# Hydra sets these around the jobs of a sweep.
EXPERIMENT_ID_VARIABLE = "MNIST_FLOW_EXPERIMENT_ID"
PARENT_RUN_ID_VARIABLE = "MNIST_FLOW_PARENT_RUN_ID"

KIND_TAG = "mnist_flow.kind"
FINGERPRINT_TAG = "mnist_flow.fingerprint"
GROUP_TAG = "mnist_flow.group"

_MODEL_PACKAGES = ("tensorflow", "keras", "numpy", "mlflow")
_MAX_PARAM_LENGTH = 6000
_MAX_NAME_LENGTH = 200


def configure(uri: str | None) -> None:
    """Choose the tracking server. MLFLOW_TRACKING_URI wins; None leaves MLflow's default, sqlite:///mlflow.db here."""
    # MLflow's own default waits several minutes for a server that isn't there.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    # MLflow's own ten seconds are longer than many a run here.
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    if "MLFLOW_TRACKING_URI" not in os.environ and uri is not None:
        with _clear_errors():
            mlflow.set_tracking_uri(uri)
    _check_store_is_writable()


def _check_store_is_writable() -> None:
    """MLflow itself retries for minutes where a SQLite file can't be written."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite:///"):
        return
    file = Path(uri.removeprefix("sqlite:///"))
    for path in (file, file.parent, file.parent / "mlruns"):
        if path.exists() and not os.access(path, os.W_OK):
            raise TrackingError(f"{path}: can't be written; go to another folder, or choose a server: tracking.uri=URI")
    if not file.parent.is_dir():
        raise TrackingError(f"{file.parent}: no such folder; make it, or choose another tracking.uri")


def get_uri() -> str:
    """The tracking URI in force, without credentials."""
    return hide_credentials(mlflow.get_tracking_uri())


def describe_ui_command() -> str:
    """What to type, or open, to see the runs."""
    uri = get_uri()
    if uri.startswith(("http://", "https://")):
        return uri
    return "mlflow ui" if uri == f"sqlite:///{Path('mlflow.db').resolve()}" else f"mlflow ui --backend-store-uri {uri}"


def get_or_create_experiment(name: str) -> str:
    """The id of the experiment: MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or `name`, in this order.

    Safe when several processes ask for a new name at once.

    Raises:
        TrackingError: the server does not answer, or the experiment is deleted.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = choose_experiment_name(name)
    with _clear_errors(), _creating_store():
        experiment = mlflow.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(mlflow.create_experiment(name))
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
                experiment = mlflow.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"tracking.experiment_name={name}: this experiment is deleted; restore it "
            "(mlflow experiments restore) or choose another name"
        )
    return str(experiment.experiment_id)


def choose_experiment_name(name: str) -> str:
    """`name`, unless MLFLOW_EXPERIMENT_NAME says otherwise."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or name


def find_experiment(name: str) -> str | None:
    """The id of an existing experiment, or None.

    Raises:
        TrackingError: the server does not answer.
    """
    with _clear_errors():
        experiment = mlflow.get_experiment_by_name(name)
    return None if experiment is None else str(experiment.experiment_id)


@contextmanager
def start_run(
    experiment_id: str,
    run_name: str | None,
    tags: Mapping[str, str],
    parent_run_id: str | None = None,
    system_metrics: bool = False,
) -> Iterator[Run]:
    """An active run whose end is true: FINISHED, FAILED with the traceback as an artifact, or KILLED.

    Adopts the run that `mlflow run` created, where there is one (MLFLOW_RUN_ID).

    Raises:
        TrackingError: the run can't be created.
    """
    adopted = os.environ.get("MLFLOW_RUN_ID")
    with _clear_errors():
        run = mlflow.start_run(
            experiment_id=None if adopted else experiment_id,
            run_name=None if adopted else run_name,
            parent_run_id=parent_run_id,
            tags=dict(tags),
            log_system_metrics=system_metrics,
        )
        if adopted and run_name:
            mlflow.MlflowClient().update_run(adopted, name=run_name)
    try:
        yield run
    except Exception:
        _end_run("FAILED", lambda: mlflow.log_text(hide_credentials(traceback.format_exc()), "traceback.txt"))
        log.error("run %s is marked FAILED; its artifact traceback.txt says where", run.info.run_id)
        raise
    except BaseException:
        _end_run("KILLED")
        log.error("run %s is marked KILLED", run.info.run_id)
        raise
    else:
        mlflow.end_run("FINISHED")


def _end_run(status: str, before: Callable[[], None] = lambda: None) -> None:
    """End the active run; what goes wrong here must not hide the error that led here."""
    try:
        before()
    except Exception as error:
        log.warning("could not log the traceback: %s", hide_credentials(str(error)))
    try:
        mlflow.end_run(status)
    except Exception as error:
        log.warning("could not mark the run %s: %s", status, hide_credentials(str(error)))


def compute_fingerprint(identity: Mapping[str, Any]) -> str:
    """16 hex digits that name a config: equal exactly when the canonical JSON of `identity` is equal."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def log_params(params: Mapping[str, Any]) -> None:
    """Log flat params as text, without credentials; those the run already has are left as they are.

    `mlflow run` logs its own -P values first, and params can't be changed.
    """
    active = mlflow.active_run()
    existing = mlflow.get_run(active.info.run_id).data.params if active else {}
    texts = {key: hide_credentials(str(value))[:_MAX_PARAM_LENGTH] for key, value in params.items()}
    mlflow.log_params({key: text for key, text in texts.items() if key not in existing})


def log_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
    """Log the metrics of a finished epoch; epochs count from 1."""
    mlflow.log_metrics(dict(metrics), step=epoch)


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Log final metrics."""
    mlflow.log_metrics(dict(metrics))


def log_artifacts(
    figures: Mapping[str, Figure] | None = None,
    records: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    arrays: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write artifacts to a temporary folder and send them in one call.

    Keys are paths within the run; text and JSON are cleared of credentials.

    Args:
        figures: by .png or .svg path.
        records: by .json path.
        texts: by any path.
        arrays: by .npz path.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="mnist_flow_") as folder:

        def place(path: str) -> Path:
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            return file

        for path, figure in (figures or {}).items():
            figure.savefig(place(path), dpi=120)
        for path, record in (records or {}).items():
            place(path).write_text(hide_credentials(json.dumps(record, indent=2)))
        for path, text in (texts or {}).items():
            place(path).write_text(hide_credentials(text))
        for path, named in (arrays or {}).items():
            np.savez_compressed(place(path), **named)
        mlflow.log_artifacts(folder)


def log_table(path: str, table: pd.DataFrame) -> None:
    """Log a tidy table as a .json artifact that `mlflow.load_table` reads, across runs if wanted."""
    mlflow.log_table(table, path)


def log_data_set(data_set: DataSet, parts: Mapping[str, Images]) -> None:
    """Log the parts of a data set (training, validation, test) as MLflow dataset inputs with their digests."""
    source = (
        LocalArtifactDatasetSource(data_set.source)
        if Path(data_set.source).is_file()
        else CodeDatasetSource({"source": data_set.source})
    )
    for context, part in parts.items():
        dataset = mlflow.data.from_numpy(
            part.images,
            targets=part.labels,
            source=source,
            name=f"{data_set.name}_{context}",
            digest=f"{data_set.digest}-{context}-{len(part)}"[:36],
        )
        mlflow.log_input(dataset, context=context)


def log_model(model: keras.Model, input_example: FloatArray, probabilities: FloatArray) -> None:
    """Log a model as `model`, with signature, input example and the pinned packages that it needs to be served."""
    import mlflow.tensorflow

    mlflow.tensorflow.log_model(
        model,
        name="model",
        input_example=input_example,
        signature=mlflow.models.infer_signature(input_example, probabilities),
        pip_requirements=[f"{package}=={version(package)}" for package in _MODEL_PACKAGES],
    )


def fetch_runs(experiment_id: str, extra_filter: str | None = None) -> pd.DataFrame:
    """Finished training runs of an experiment: columns run_id, start_time, params.*, metrics.*, tags.*.

    Args:
        experiment_id: where to look.
        extra_filter: a further condition in MLflow's filter language.

    Raises:
        TrackingError: the server does not answer, or the filter is malformed.
    """
    conditions = [f"tags.`{KIND_TAG}` = 'train'", "attributes.status = 'FINISHED'"]
    conditions += [extra_filter] if extra_filter else []
    with _clear_errors():
        runs = mlflow.search_runs([experiment_id], filter_string=" and ".join(conditions), max_results=50_000)
    assert isinstance(runs, pd.DataFrame)
    return runs


def adopt_analysis() -> str | None:
    """The run that `mlflow run` created for this analysis, marked as such; None outside `mlflow run`."""
    adopted = os.environ.get("MLFLOW_RUN_ID")
    if adopted:
        with _clear_errors():
            mlflow.MlflowClient().set_tag(adopted, KIND_TAG, "analysis")
    return adopted


def log_files(run_id: str, files: Sequence[Path], folder: str) -> None:
    """Log local files to a folder of a run's artifacts."""
    client = mlflow.MlflowClient()
    with _clear_errors():
        for file in files:
            client.log_artifact(run_id, str(file), folder)


def create_sweep(experiment_id: str, overrides: Sequence[str]) -> str:
    """Open the parent run of a sweep and return its id; under `mlflow run` it is the run that MLflow created."""
    client = mlflow.MlflowClient()
    summary = hide_credentials(" ".join(overrides))
    name = f"sweep {summary}"[:_MAX_NAME_LENGTH]
    tags = {KIND_TAG: "sweep", "mlflow.note.content": summary, "mlflow.source.name": Path(sys.argv[0]).name}
    with _clear_errors():
        if adopted := os.environ.pop("MLFLOW_RUN_ID", None):
            client.update_run(adopted, name=name)
            for key, value in tags.items():
                client.set_tag(adopted, key, value)
            return adopted
        return str(client.create_run(experiment_id, tags=tags, run_name=name).info.run_id)


def end_sweep(parent_run_id: str, experiment_id: str, status: str) -> int:
    """End the parent run of a sweep; children still RUNNING become KILLED. Returns how many of these there were."""
    client = mlflow.MlflowClient()
    with _clear_errors():
        abandoned = client.search_runs(
            [experiment_id], f"tags.`mlflow.parentRunId` = '{parent_run_id}' and attributes.status = 'RUNNING'"
        )
        for child in abandoned:
            client.set_terminated(child.info.run_id, "KILLED")
        client.set_terminated(parent_run_id, status)
    return len(abandoned)


@contextmanager
def _creating_store() -> Iterator[None]:
    """One process at a time where the store is a local SQLite file: MLflow's own migrations of a new file race."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite"):
        yield
        return
    name = f"mnist_flow-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.lock"
    with FileLock(Path(tempfile.gettempdir(), name)):
        yield


@contextmanager
def _clear_errors() -> Iterator[None]:
    """What a server or store that does not answer raises, as one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        reason = hide_credentials(" ".join(str(error).split()))
        if any(sign in reason for sign in ("Connection refused", "Failed to resolve", "timed out")):
            reason = (
                "does not answer. Start it, or choose another: tracking.uri=URI or the environment variable "
                "MLFLOW_TRACKING_URI; without either, runs are kept in mlflow.db here"
            )
        raise TrackingError(
            f"tracking server {get_uri()}: {textwrap.shorten(reason, 400, placeholder=' …')}"
        ) from error
