"""Writes runs to a folder as records of operations, as `operations` does them, so that another store can take them.

MLflow itself moves only stores of files, and the package mlflow-export-import knows no logged models, inputs or times.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mnist_flow.errors import TrackingError, UserError
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.experiments import list_experiments
from mnist_flow.tracking.operations import Operation
from mnist_flow.tracking.server import clear_errors, shorten
from mnist_flow.tracking.stock import StoredRun, fetch_stored_run, fetch_stored_runs

INDEX = "export.json"
RUN = "run.json"
# Of what stands in the files; another number is another form.
FORMAT = 1


def list_with_parents(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """List runs and all runs above them, each after those above it.

    Raises:
        TrackingError: the server does not answer.
    """
    found = {run.run_id: run for run in runs}
    waiting = list(runs)
    while waiting:
        parent_run_id = waiting.pop().parent_run_id
        known = fetch_stored_run(parent_run_id) if parent_run_id and parent_run_id not in found else None
        if known is not None and not known.is_deleted:
            # Once more, with its models.
            (parent,) = fetch_stored_runs([known.experiment_id], run_ids=[parent_run_id])
            found[parent_run_id] = parent
            waiting.append(parent)

    def count_above(run: StoredRun) -> int:
        return 1 + count_above(found[run.parent_run_id]) if run.parent_run_id in found else 0

    return sorted(found.values(), key=lambda run: (count_above(run), run.start_time))


def export_runs(runs: Sequence[StoredRun], folder: Path) -> None:
    """Write runs with all that MLflow knows of them to a new folder, which is there when it is whole.

    Args:
        runs: each after those above it.
        folder: that is not there yet, or empty.

    Raises:
        UserError: one of the runs is running.
        TrackingError: the server does not answer, an artifact can't be had, or the folder can't be written.
    """
    for run in runs:
        if run.status == "running":
            raise UserError(f"run {run.run_id} is running; wait for it, or leave it out")
    names = {experiment_id: name for name, experiment_id in list_experiments().items()}
    folder = folder.resolve()
    unfinished = folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for run in runs:
            _export_run(run, names[run.experiment_id], unfinished / run.run_id)
        index = {"format": FORMAT, "tracking_uri": get_uri(), "runs": [run.run_id for run in runs]}
        (unfinished / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")
        unfinished.chmod(0o755)  # Others may read it, as any folder.
        unfinished.replace(folder)
    except (OSError, TrackingError) as error:
        # MLflow keeps no more than the text of what goes wrong while it downloads.
        if os.strerror(errno.ENOSPC) in f"{error} {error.__cause__}":
            trouble = "the disk is full; make room there, or choose another folder"
            raise TrackingError(f"folder={folder}: {trouble}") from error
        if isinstance(error, TrackingError):
            raise
        raise TrackingError(f"folder={folder}: the export can't be written ({shorten(error)})") from error
    finally:
        if unfinished != folder:
            shutil.rmtree(unfinished, ignore_errors=True)


def _export_run(run: StoredRun, experiment: str, folder: Path) -> None:
    folder.mkdir()
    client = mlflow.MlflowClient()
    with clear_errors():
        entity = client.get_run(run.run_id)
        operations = [Operation(kind="batch", params=entity.data.params), *_export_inputs(entity)]
        if _download(run.place, folder / "artifacts"):
            operations.append(Operation(kind="artifacts", folder="artifacts"))
        batches = _export_metrics(client, run, entity)
        # A run of this project has one model.
        model_id = next(iter(run.model_places), None)
        if model_id is not None and _download(run.model_places[model_id], folder / "model"):
            params, own = dict(client.get_logged_model(model_id).params), batches.pop(model_id, [])
            operations.append(Operation(kind="model", folder="model", metrics=own, params=params))
        operations += [Operation(kind="batch", metrics=points, model_id=one) for one, points in batches.items()]
    status = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "pruned": "KILLED"}[run.status]
    record = {
        "run_id": run.run_id,
        "experiment": experiment,
        "name": run.name,
        "start_time": run.start_time,
        "status": status,
        "end_time": run.end_time,
        "tags": entity.data.tags,
        "model_id": model_id,
        "operations": operations,
        # Size in bytes by path, so that an import notices what a copy of the folder has lost.
        "files": {
            file.relative_to(folder).as_posix(): file.stat().st_size
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }
    (folder / RUN).write_text(json.dumps(record, indent=2), encoding="utf-8")


def _export_metrics(client: mlflow.MlflowClient, run: StoredRun, entity: Run) -> dict[str | None, list[Any]]:
    """All points of a run by the model whose measures they are; None: of no model."""
    linked: dict[tuple[str, int, int], str] = {}
    inputs = entity.inputs.model_inputs if entity.inputs is not None else []
    known = client.search_logged_models([run.experiment_id], f"source_run_id = '{run.parent_run_id}'") if inputs else []
    own = client.search_logged_models([run.experiment_id], f"source_run_id = '{run.run_id}'")
    for model in [*own, *known]:
        for point in model.metrics or []:
            if point.run_id == run.run_id:
                linked[point.key, point.step, point.timestamp] = model.model_id
    batches: dict[str | None, list[Any]] = {}
    for name in entity.data.metrics:
        for point in client.get_metric_history(run.run_id, name):
            model_id = linked.get((point.key, point.step, point.timestamp))
            batches.setdefault(model_id, []).append([point.key, point.value, point.timestamp, point.step])
    return batches


def _export_inputs(run: Run) -> list[Operation]:
    if run.inputs is None:
        return []
    datasets = {
        next((tag.value for tag in one.tags if tag.key == "mlflow.data.context"), str(number)): dict(one.dataset)
        for number, one in enumerate(run.inputs.dataset_inputs)
    }
    models = [one.model_id for one in run.inputs.model_inputs]
    return [Operation(kind="inputs", datasets=datasets, models=models)] if datasets or models else []


def _download(place: str, folder: Path) -> bool:
    """Copy the artifacts of a place into a new folder; False: there are none."""
    repository = get_artifact_repository(place)
    if not repository.list_artifacts(None):
        return False
    folder.mkdir()
    repository.download_artifacts("", str(folder))
    return True
