"""A database's columns, read directly where MLflow's calls make an object of each value and take several times as long.

Only where this process itself opens the database. A server is asked by MLflow's calls.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow.entities import LifecycleStage, Run, RunData, RunInfo
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy.orm import Query, Session

# Rows that are fetched at a time.
_ROWS = 10_000


def find_database() -> SqlAlchemyStore | None:
    """The tracking store where it is a database that this process opens; None where it is a server.

    Raises:
        MlflowException: the database can't be opened.
    """
    store = _get_store()
    return store if isinstance(store, SqlAlchemyStore) else None


def compares_as_mlflow(store: SqlAlchemyStore) -> bool:
    """Whether `select_runs` chooses the runs that MLflow's search chooses.

    Equal texts in MySQL and SQL Server may differ in their case, and a store with workspaces keeps their runs apart.
    """
    return type(store) is SqlAlchemyStore and store.db_type in {"sqlite", "postgresql"}


def select_runs(
    store: SqlAlchemyStore,
    experiment_id: str,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    status: str | None,
) -> list[Run]:
    """Read the runs of an experiment with these tags, params and status, the oldest first; deleted ones are left out.

    Args:
        store: from `find_database`, one that `compares_as_mlflow`.
        experiment_id: where to look.
        tags: all of them, by key.
        params: all of them, by name.
        status: RUNNING, FINISHED, FAILED or KILLED; None: any.

    Returns:
        Runs with params, metrics and tags, and without the data sets and models that MLflow knows of them.

    Raises:
        MlflowException: the database does not answer.
    """
    stage = LifecycleStage.ACTIVE
    with store.ManagedSessionMaker() as session:
        alike = session.query(SqlRun.run_uuid).filter(SqlRun.experiment_id == int(experiment_id))
        for table, conditions in ((SqlTag, tags), (SqlParam, params)):
            for key, value in conditions.items():
                having = session.query(table.run_uuid).filter(table.key == key, table.value == value)
                alike = alike.filter(SqlRun.run_uuid.in_(having))
        chosen = alike.filter(SqlRun.lifecycle_stage == stage, *([SqlRun.status == status] if status else []))
        times = SqlRun.start_time, SqlRun.end_time
        about = SqlRun.run_uuid, SqlRun.user_id, SqlRun.status, *times, SqlRun.artifact_uri, SqlRun.name
        runs = {
            row.run_uuid: Run(
                RunInfo(
                    run_id=row.run_uuid,
                    experiment_id=experiment_id,
                    user_id=row.user_id,
                    status=row.status,
                    start_time=row.start_time,
                    end_time=row.end_time,
                    lifecycle_stage=stage,
                    artifact_uri=row.artifact_uri,
                    run_name=row.name,
                ),
                RunData(),
            )
            for row in chosen.with_entities(*about).order_by(SqlRun.start_time, SqlRun.run_uuid)
        }
        # Most texts are those of many runs, and one object serves all.
        of_params = SqlParam.run_uuid, SqlParam.key, SqlParam.value
        for data, name, text in _read_values(session, alike, runs, *of_params):
            data.params[name] = sys.intern(text)
        for data, name, text in _read_values(session, alike, runs, SqlTag.run_uuid, SqlTag.key, SqlTag.value):
            # A tag that another program has set may have no value.
            data.tags[name] = text and sys.intern(text)
        metric = SqlLatestMetric
        of_metrics = metric.run_uuid, metric.key, metric.value, metric.is_nan
        for data, name, number, is_nan in _read_values(session, alike, runs, *of_metrics):
            data.metrics[name] = math.nan if is_nan else number
    return list(runs.values())


def _read_values(
    session: Session, alike: Query[Any], runs: Mapping[str, Run], *columns: Any
) -> Iterator[tuple[Any, ...]]:
    """Read columns that are a run's id, a name and values: for each row the data of its run, the name and the values.

    Args:
        alike: ids of the runs and of others like them. A run may end or be deleted since it was chosen, and is still
            one of these.
        runs: the chosen ones, by id.
        columns: of one table.
    """
    for run_id, name, *values in session.query(*columns).filter(columns[0].in_(alike)).yield_per(_ROWS):
        if run_id in runs:
            yield runs[run_id].data, sys.intern(name), *values


def select_points(store: SqlAlchemyStore, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """Read all points of a metric of some runs, in the order in which they were logged.

    Args:
        store: from `find_database`.
        run_ids: of the runs; SQLite takes 32,000 of them.

    Returns:
        A run's id, a step and a value each.

    Raises:
        MlflowException: the database does not answer.
    """
    columns = SqlMetric.run_uuid, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan
    with store.ManagedSessionMaker() as session:
        rows = (
            session.query(*columns)
            .filter(SqlMetric.key == metric, SqlMetric.run_uuid.in_(run_ids))
            .order_by(SqlMetric.timestamp, SqlMetric.step, SqlMetric.value)
            .all()
        )
    return [(run_id, step, math.nan if is_nan else value) for run_id, step, value, is_nan in rows]
