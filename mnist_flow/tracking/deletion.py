"""Deletes runs and models as MLflow does: they can't be seen any more, and `mlflow gc` removes them from the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mnist_flow.errors import RunError, TrackingError, UserError
from mnist_flow.runtime.processes import name_process
from mnist_flow.tracking import names
from mnist_flow.tracking.registry import fetch_registered
from mnist_flow.tracking.server import clear_errors
from mnist_flow.tracking.stock import StoredRun, fetch_stored_run


def check_deletable(runs: Sequence[StoredRun]) -> None:
    """Refuse what is running, or belongs to a sweep that is, and models that are registered.

    Raises:
        UserError: one of the runs is such a run.
        TrackingError: the server does not answer.
    """
    _check_not_running(runs)
    known = {run.run_id for run in runs}
    for parent_run_id in sorted({run.parent_run_id for run in runs} - known - {""}):
        parent = fetch_stored_run(parent_run_id)
        if parent is not None:
            _check_not_running([parent], "its runs are not deleted meanwhile")
    registered = fetch_registered()
    for run in runs:
        if run.run_id in registered:
            name, version = registered[run.run_id]
            raise UserError(
                f"run {run.run_id}: its model is registered as {name}, version {version}; nothing is deleted; delete "
                "that version on MLflow's page, or leave the run out"
            )


def delete_runs(runs: Sequence[StoredRun]) -> None:
    """Delete runs and their models, those below others first.

    Raises:
        RunError: the server broke off; the message says how many are deleted.
    """

    def delete(client: mlflow.MlflowClient, run: StoredRun) -> None:
        # The models first: broken off in between, the run is found again by the same command.
        _delete_models(client, run)
        client.delete_run(run.run_id)

    _delete_each(list(reversed(runs)), delete)


def delete_models(runs: Sequence[StoredRun], why: str, *, from_disk: bool = False) -> None:
    """Delete the models of runs, which stay and say why they have none; at once `from_disk`, too. See `delete_runs`."""

    def delete(client: mlflow.MlflowClient, run: StoredRun) -> None:
        client.set_tag(run.run_id, names.MODEL_DELETED_TAG, why)
        _delete_models(client, run)
        for place in run.model_places.values() if from_disk else ():
            get_artifact_repository(place).delete_artifacts()

    _delete_each(runs, delete)


def _delete_models(client: mlflow.MlflowClient, run: StoredRun) -> None:
    for model_id in run.model_places:
        client.delete_logged_model(model_id)


def _delete_each(runs: Sequence[StoredRun], delete: Callable[[mlflow.MlflowClient, StoredRun], None]) -> None:
    client = mlflow.MlflowClient()
    for number, run in enumerate(runs):
        try:
            # It may have been resumed since it was listed.
            now = fetch_stored_run(run.run_id)
            _check_not_running([now] if now is not None else [])
            with clear_errors():
                delete(client, run)
        except (TrackingError, UserError) as error:
            raise RunError(f"{error}; {number} of {len(runs)} runs are done; the same command goes on") from error


def _check_not_running(runs: Sequence[StoredRun], consequence: str = "nothing of it is deleted") -> None:
    for run in runs:
        if run.status == "running":
            where = f" in {name_process(run.process)}" if run.process else ""
            raise UserError(f"run {run.run_id} is running{where}; {consequence}; wait for it, or leave it out")
