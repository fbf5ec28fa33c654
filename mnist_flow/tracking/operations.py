"""The operations that a run's record consists of, and how one is done.

Each is a plain dictionary that can be sent twice with the effect of once, as long as no other process goes on with the
run: a metric point keeps its time stamp, a file its path, a run has one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode

from mnist_flow.errors import TrackingError

Operation: TypeAlias = dict[str, Any]

# That MLflow takes in a request, with room for the params and tags beside them.
_MAX_METRICS = 800


def merge(first: Operation, second: Operation | None) -> Operation | None:
    """Make two batches one that a single request takes; None where they are no batches, or of different models."""
    if second is None or not first["kind"] == second["kind"] == "batch":
        return None
    metrics = [*first.get("metrics", []), *second.get("metrics", [])]
    if first.get("model_id") != second.get("model_id") or len(metrics) > _MAX_METRICS:
        return None
    named = {key: {**first.get(key, {}), **second.get(key, {})} for key in ("params", "tags")}
    return {**first, "metrics": metrics, **named}


def join_batches(operations: Iterable[Operation]) -> list[Operation]:
    """The same operations in the same order, with batches that follow each other made one wherever `merge` can."""
    joined: list[Operation] = []
    for operation in operations:
        merged = merge(joined[-1], operation) if joined else None
        joined[-1:] = [merged] if merged else [*joined[-1:], operation]
    return joined


def deliver(client: mlflow.MlflowClient, run_id: str, experiment_id: str, operation: Operation, files: Path) -> None:
    """Do one operation.

    Args:
        operation: see the `case`s.
        files: where the folders are that operations name.
    """
    match operation:
        case {"kind": "batch"}:
            _deliver_batch(client, run_id, operation)
        case {"kind": "artifacts", "folder": folder}:
            client.log_artifacts(run_id, str(files / folder))
        case {"kind": "inputs", "datasets": datasets}:
            inputs = [
                DatasetInput(Dataset(**dataset), [InputTag("mlflow.data.context", context)])
                for context, dataset in datasets.items()
            ]
            models = [LoggedModelInput(model_id) for model_id in operation.get("models", [])]
            try:
                client.log_inputs(run_id, inputs, models)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(BAD_REQUEST):
                    raise
                # Another job was the first to log this data set, at the same moment; now MLflow finds it.
                client.log_inputs(run_id, inputs, models)
        case {"kind": "model", "folder": folder, "metrics": metrics}:
            _deliver_model(client, run_id, experiment_id, files / folder, metrics, operation.get("params", {}))
        case {"kind": "end", "status": status, "end_time": end_time}:
            client.set_terminated(run_id, status, end_time)
        case _:
            raise TrackingError(f"run {run_id}: unknown operation {operation.get('kind')} in its record")


def _deliver_batch(client: mlflow.MlflowClient, run_id: str, operation: Mapping[str, Any]) -> None:
    metrics = [Metric(*point, model_id=operation.get("model_id")) for point in operation.get("metrics", [])]
    params = [Param(key, value) for key, value in operation.get("params", {}).items()]
    tags = [RunTag(key, value) for key, value in operation.get("tags", {}).items()]
    client.log_batch(run_id, metrics, params, tags)  # MLflow splits what is more than one request takes.


def _deliver_model(
    client: mlflow.MlflowClient,
    run_id: str,
    experiment_id: str,
    folder: Path,
    metrics: Sequence[Sequence[Any]],
    params: dict[str, str],
) -> None:
    """Log a model that `mlflow.tensorflow.save_model` saved, its run's params and metrics, unless the run has it."""
    # A delivery may have broken off right after it created the model, or linked it.
    begun = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    if begun and begun[0].status == LoggedModelStatus.READY:
        return
    model = begun[0] if begun else client.create_logged_model(experiment_id, "model", run_id, params=params)
    outputs = client.get_run(run_id).outputs if begun else None
    if outputs is None or not outputs.model_outputs:
        client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    saved = Model.load(str(folder))
    saved.run_id, saved.model_id, saved.model_uuid = run_id, model.model_id, model.model_id
    saved.artifact_path = model.artifact_location
    saved.save(str(folder / "MLmodel"))
    client.log_model_artifacts(model.model_id, str(folder))
    client.log_batch(run_id, metrics=[Metric(*point, model_id=model.model_id) for point in metrics])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
