"""The experiments of a tracking server: found, created once, and refused where they are deleted."""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from mnist_flow.errors import TrackingError
from mnist_flow.tracking import names
from mnist_flow.tracking.address import find_sqlite_file
from mnist_flow.tracking.directions import describe_mlflow_command, get_uri
from mnist_flow.tracking.missing import fetch_or_none
from mnist_flow.tracking.notes import describe_experiment
from mnist_flow.tracking.places import check_place, to_place
from mnist_flow.tracking.server import clear_errors, is_store_there, lock_beside

_ID_VARIABLE = "MLFLOW_EXPERIMENT_ID"
_NAME_VARIABLE = "MLFLOW_EXPERIMENT_NAME"


def get_or_create_experiment(name: str) -> str:
    """The id of the experiment: MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or `name`, in this order.

    Safe when several processes ask for a new name at once.

    Raises:
        TrackingError: the server does not answer, or the experiment is deleted, or its artifacts could not be written.
    """
    experiment = _find(name)
    if experiment is not None:
        check_place(experiment.artifact_location, f"experiment '{experiment.name}'")
        return str(experiment.experiment_id)
    return _create(choose_experiment_name(name))


def find_experiment(name: str) -> str | None:
    """The id of an existing experiment, or None; MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or `name`, in this order.

    Makes no store where there is none yet.

    Raises:
        TrackingError: the server does not answer, or the experiment is deleted.
    """
    experiment = _find(name) if is_store_there() else None
    return None if experiment is None else str(experiment.experiment_id)


def check_places(experiment_ids: Iterable[str]) -> None:
    """Look whether artifacts of runs of these experiments can be written, see `places.check_place`."""
    for experiment_id in experiment_ids:
        with clear_errors():
            experiment = mlflow.get_experiment(experiment_id)
        check_place(experiment.artifact_location, f"experiment '{experiment.name}'")


def choose_experiment_name(name: str) -> str:
    """`name`, unless MLFLOW_EXPERIMENT_NAME says otherwise."""
    return os.environ.get(_NAME_VARIABLE) or name


def list_experiments(wanted: Sequence[str] = ()) -> dict[str, str]:
    """Names of all experiments and their ids; none where there is no store yet.

    Raises:
        TrackingError: the server does not answer, or one of the `wanted` experiments is deleted.
    """
    if not is_store_there():
        return {}
    with clear_errors():
        found = list(mlflow.search_experiments(view_type=ViewType.ALL))
    for experiment in found:
        if experiment.name in wanted:
            _check_is_active(experiment)
    return {one.name: str(one.experiment_id) for one in found if one.lifecycle_stage == "active"}


def list_chosen_experiments(wanted: Sequence[str]) -> list[str]:
    """`wanted`, unless MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME says otherwise.

    Raises:
        TrackingError: the server does not answer, or has no experiment of this id.
    """
    if given := os.environ.get(_ID_VARIABLE):
        return [str(_fetch(given).name)]
    variable = os.environ.get(_NAME_VARIABLE)
    return [variable] if variable else list(wanted)


def _find(name: str) -> Experiment | None:
    """The experiment that the variables or `name` name; None where there is none.

    Raises:
        TrackingError: the server does not answer, or the experiment is deleted, or none has the id of the variable.
    """
    if file := find_sqlite_file(mlflow.get_tracking_uri()):
        make_sqlite_store(file)
    if given := os.environ.get(_ID_VARIABLE):
        experiment = _fetch(given)
    else:
        with clear_errors():
            experiment = mlflow.get_experiment_by_name(choose_experiment_name(name))
    if experiment is None:
        return None
    if not experiment.experiment_id:
        raise TrackingError(f"tracking server {get_uri()}: is no MLflow server; it answers {{}}")
    _check_is_active(experiment)
    return experiment


def _fetch(experiment_id: str) -> Experiment:
    """The experiment that MLFLOW_EXPERIMENT_ID names, which must be there."""
    with clear_errors():
        experiment = fetch_or_none(lambda: mlflow.get_experiment(experiment_id))
    if experiment is None:
        raise TrackingError(
            f"{_ID_VARIABLE}={experiment_id}: {get_uri()} has no such experiment; mlflow.set_experiment may have set "
            "it for another store: unset it, or call mlflow.set_experiment again"
        )
    return experiment


def _check_is_active(experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "deleted":
        command = describe_mlflow_command(f"mlflow experiments restore --experiment-id {experiment.experiment_id}")
        raise TrackingError(
            f"tracking.experiment_name={experiment.name}: this experiment is deleted; restore it: {command}, or choose "
            "another name"
        )


def _create(name: str) -> str:
    """Create an experiment, or find the one that another process creates at this moment; returns its id."""
    is_file = find_sqlite_file(mlflow.get_tracking_uri()) is not None
    root = Path("mlruns").absolute()
    if is_file:
        check_place(to_place(root), f"experiment '{name}'")
    # MLflow decodes its own choice, mlruns/ID in the working directory, as if it was a URI.
    is_misread = is_file and to_place(root) != str(root)
    with clear_errors():
        try:
            place = to_place(root / uuid.uuid4().hex) if is_misread else None
            experiment_id = mlflow.create_experiment(name, place, tags={names.NOTE_TAG: describe_experiment(name)})
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            experiment_id = mlflow.get_experiment_by_name(name).experiment_id
    if not is_file:
        check_places([experiment_id])
    return str(experiment_id)


def make_sqlite_store(file: Path) -> None:
    """Make a SQLite store with MLflow's tables, unless the file is there; several processes may ask for it at once.

    MLflow itself makes its tables by dozens of migrations, each of which waits for the disk, and can't read a file in
    which they were broken off. So it makes them in memory, and the file appears with all of them or not at all. Before
    SQLite 3.36 connections do not share such a memory: the file is empty then, and MLflow makes its tables in it.

    Raises:
        TrackingError: the file can't be written.
    """
    if file.exists():
        return
    # Where the file is a link to one that is not there yet, that one is made.
    file = file.resolve()
    new = file.with_name(f"{file.name}.new")
    with clear_errors(), lock_beside(file):
        if file.exists():
            return
        # What a process that was killed has left.
        new.unlink(missing_ok=True)
        # SQLAlchemy takes it for a file, with the pool that the variables MLFLOW_SQLALCHEMYSTORE_… are for. The name of
        # a shared memory begins with a slash, of which MLflow would make a folder if it was not encoded.
        address = f"file:%2F{uuid.uuid4().hex}?vfs=memdb"
        try:
            with closing(sqlite3.connect(address, uri=True)) as tables:
                MlflowClient(f"sqlite:///{address}&uri=true").search_experiments()
                with closing(sqlite3.connect(new)) as written:
                    tables.backup(written)
            # SQLite's own files can be written by nobody else, even where a group may write the folder.
            new.chmod(new.stat().st_mode | (file.parent.stat().st_mode & stat.S_IWGRP))
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
