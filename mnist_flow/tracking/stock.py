"""What a store holds: runs of every kind with their models, and what they take on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlflow
from mlflow.entities import LoggedModel, Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils import get_results_from_paginated_fn

from mnist_flow.config.runs import Status
from mnist_flow.errors import TrackingError
from mnist_flow.tracking import names
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.missing import fetch_run_or_none
from mnist_flow.tracking.past import STALE_AFTER, lives, search
from mnist_flow.tracking.places import to_path
from mnist_flow.tracking.server import clear_errors

# Runs of which the children are searched one by one.
_FEW = 5
# Models in an answer.
_PAGE = 1000
_RESULTS = ("test_accuracy", "test_loss")


@dataclass(frozen=True)
class StoredRun:
    """A run of any kind as the store holds it."""

    run_id: str
    experiment_id: str
    # train, sweep, evaluation or analysis; empty for runs that mnist_flow did not make.
    kind: str
    name: str
    # The network that was trained; empty where none was.
    model: str
    # killed: also where it is RUNNING by name, and its process is gone. pruned: a search ended it, KILLED by name.
    status: Status
    parent_run_id: str
    process: str
    # Unix times in milliseconds; the end of a run that has none is its start.
    start_time: int
    end_time: int
    is_deleted: bool
    fingerprint: str
    # test_accuracy and test_loss, as far as the run has them.
    results: Mapping[str, float]
    place: str
    # Place by id of the run's logged models.
    model_places: Mapping[str, str]

    def measure_bytes(self, *, ask_server: bool) -> tuple[int, int] | None:
        """Size of the run's artifacts and of its models; None where only a server could say, and is not to be asked."""
        places = [self.place, *self.model_places.values()]
        if not ask_server and any(to_path(place) is None for place in places):
            return None
        with clear_errors():
            own, *models = [_measure_bytes(place) for place in places]
        return own, sum(models)


def fetch_stored_run(run_id: str) -> StoredRun | None:
    """Fetch one run without its models, also a deleted one; None: the store does not know it.

    Raises:
        TrackingError: the server does not answer.
    """
    with clear_errors():
        run = fetch_run_or_none(run_id)
    return None if run is None else _describe(run, {})


def fetch_stored_runs(
    experiment_ids: Sequence[str],
    *,
    run_ids: Sequence[str] = (),
    sweep: str | None = None,
    model: str | None = None,
    extra_filter: str | None = None,
) -> list[StoredRun]:
    """Fetch runs of all kinds, the newest first, with a search a condition and one for all models.

    Args:
        experiment_ids: where to look.
        run_ids: only these; empty for all.
        sweep: only this run and its children.
        model: only runs that trained this network.
        extra_filter: a further condition in MLflow's filter language.

    Raises:
        TrackingError: the server does not answer, the filter is malformed, or there is no such run or sweep.
    """
    conditions = [f"params.`model.name` = '{model}'"] if model else []
    conditions += [extra_filter] if extra_filter else []
    scopes = [""]
    if sweep is not None:
        if all(run.data.tags.get(names.KIND_TAG) != "sweep" for run in _find(sweep, experiment_ids)):
            raise TrackingError(f"sweep={sweep}: is no sweep; its id is that of the parent run")
        scopes = [f"attributes.run_id = '{sweep}'", f"tags.`{names.PARENT_TAG}` = '{sweep}'"]
    elif run_ids:
        for run_id in run_ids:
            _find(run_id, experiment_ids)
        scopes = [f"attributes.run_id = '{run_id}'" for run_id in run_ids]
    found = [
        run
        for scope in scopes
        for run in search(experiment_ids, " and ".join(filter(None, [scope, *conditions])))
        if sweep is None or not run_ids or run.info.run_id in run_ids
    ]
    return describe_runs(sorted(found, key=lambda run: run.info.start_time, reverse=True))


def list_with_children(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """List runs and all runs below them, level by level: of a sweep its jobs, of a training run its evaluations."""
    known = {run.run_id for run in runs}
    level = {run.run_id: run.experiment_id for run in runs}
    found: list[Run] = []
    while level:
        children = [run for run in _search_children(level) if run.info.run_id not in known]
        found += children
        level = {run.info.run_id: run.info.experiment_id for run in children}
        known |= set(level)
    return [*runs, *describe_runs(found)]


def _search_children(parents: Mapping[str, str]) -> list[Run]:
    """Search the runs one level below some, of which the experiment is given: of many with one search for all."""
    if len(parents) <= _FEW:
        return [
            child
            for run_id, experiment_id in parents.items()
            for child in search(experiment_id, f"tags.`{names.PARENT_TAG}` = '{run_id}'")
        ]
    # MLflow's filters know no list of tags.
    children = search(sorted(set(parents.values())), f"tags.`{names.PARENT_TAG}` LIKE '%'")
    return [child for child in children if child.data.tags[names.PARENT_TAG] in parents]


def describe_runs(runs: Sequence[Run]) -> list[StoredRun]:
    """Describe runs, with the models of all of them that one search finds."""
    models: dict[str, dict[str, str]] = {}
    for model in _fetch_models({run.info.experiment_id for run in runs}):
        models.setdefault(model.source_run_id, {})[model.model_id] = model.artifact_location
    return [_describe(run, models.get(run.info.run_id, {})) for run in runs]


def _fetch_models(experiment_ids: set[str]) -> list[LoggedModel]:
    if not experiment_ids:
        return []  # MLflow refuses to look nowhere.
    search_models = mlflow.MlflowClient().search_logged_models
    with clear_errors():
        found: list[LoggedModel] = get_results_from_paginated_fn(
            lambda size, token: search_models(sorted(experiment_ids), max_results=size, page_token=token), _PAGE
        )
    return found


def _find(run_id: str, experiment_ids: Sequence[str]) -> list[Run]:
    """The run, which must be there."""
    if found := search(experiment_ids, f"attributes.run_id = '{run_id}'"):
        return found
    raise TrackingError(f"run {run_id}: there is no such run at {get_uri()}, or it is deleted or of another experiment")


def _describe(run: Run, model_places: Mapping[str, str]) -> StoredRun:
    tags, info = run.data.tags, run.info
    status: Status = "killed"
    if info.status in ("FINISHED", "FAILED"):
        status = "finished" if info.status == "FINISHED" else "failed"
    elif info.status == "KILLED" and names.PRUNED_TAG in tags:
        status = "pruned"
    elif info.status != "KILLED" and lives(run, STALE_AFTER):
        status = "running"
    return StoredRun(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        kind=tags.get(names.KIND_TAG, ""),
        name=info.run_name or "",
        model=run.data.params.get("model.name", ""),
        status=status,
        parent_run_id=tags.get(names.PARENT_TAG, ""),
        process=tags.get(names.PROCESS_TAG, ""),
        start_time=info.start_time,
        end_time=info.end_time or info.start_time,
        is_deleted=info.lifecycle_stage == "deleted",
        fingerprint=tags.get(names.FINGERPRINT_TAG, ""),
        results={name: run.data.metrics[name] for name in _RESULTS if name in run.data.metrics},
        place=info.artifact_uri,
        model_places=model_places,
    )


def _measure_bytes(place: str) -> int:
    path = to_path(place)
    if path is not None:
        return sum(
            os.lstat(os.path.join(folder, file)).st_size  # noqa: PTH118 - Path takes five times as long
            for folder, _, files in os.walk(path)
            for file in files
        )
    repository = get_artifact_repository(place)
    total, folders = 0, [""]
    while folders:
        for file in repository.list_artifacts(folders.pop() or None):
            if file.is_dir:
                folders.append(file.path)
            else:
                total += file.file_size or 0
    return total
