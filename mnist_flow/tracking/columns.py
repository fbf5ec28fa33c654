"""A database's columns, read directly where MLflow's calls make an object of each value and take several times as long.

Only where this process itself opens the database. A server is asked by MLflow's calls.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import LifecycleStage, Run, RunData, RunInfo
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy.orm import Query, Session

# Rows that are fetched at a time.
_ROWS = 10_000


def find_database() -> SqlAlchemyStore | None:
    """The tracking store where it is a database that this process opens; None where it is a server."""
    store = _get_store()
    return store if isinstance(store, SqlAlchemyStore) else None


def select_runs(
    store: SqlAlchemyStore,
    experiment_id: str,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    status: str | None = None,
) -> list[Run]:
    """The runs of an experiment with these tags, params and status, the oldest first; deleted ones are left out.

    Args:
        store: from `find_database`.
        experiment_id: where to look.
        tags: all of them, by key.
        params: all of them, by name.
        status: RUNNING, FINISHED, FAILED or KILLED; None: any.

    Returns:
        Runs with params, metrics and tags, and without the data sets and models that MLflow knows of them.
    """
    stage = LifecycleStage.ACTIVE
    with store.ManagedSessionMaker() as session:
        chosen = session.query(SqlRun.run_uuid).filter(
            SqlRun.experiment_id == int(experiment_id), SqlRun.lifecycle_stage == stage
        )
        if status is not None:
            chosen = chosen.filter(SqlRun.status == status)
        for table, conditions in ((SqlTag, tags), (SqlParam, params)):
            for key, value in conditions.items():
                having = session.query(table.run_uuid).filter(table.key == key, table.value == value)
                chosen = chosen.filter(SqlRun.run_uuid.in_(having))
        times = SqlRun.start_time, SqlRun.end_time
        about = SqlRun.run_uuid, SqlRun.user_id, SqlRun.status, *times, SqlRun.artifact_uri, SqlRun.name
        runs = {
            run_id: Run(RunInfo(run_id, experiment_id, user, state, start, end, stage, uri, name), RunData())
            for run_id, user, state, start, end, uri, name in chosen.with_entities(*about).order_by(SqlRun.start_time)
        }
        # A run that has begun or ended since that query may have values and not be among them. Most texts are those of
        # many runs, and one object serves all.
        of_params = SqlParam.run_uuid, SqlParam.key, SqlParam.value
        for run_id, name, text in _select_values(session, chosen, *of_params):
            if run_id in runs:
                runs[run_id].data.params[sys.intern(name)] = sys.intern(text)
        for run_id, name, text in _select_values(session, chosen, SqlTag.run_uuid, SqlTag.key, SqlTag.value):
            if run_id in runs:
                runs[run_id].data.tags[sys.intern(name)] = sys.intern(text)
        metric = SqlLatestMetric
        of_metrics = metric.run_uuid, metric.key, metric.value, metric.is_nan
        for run_id, name, number, is_nan in _select_values(session, chosen, *of_metrics):
            if run_id in runs:
                runs[run_id].data.metrics[sys.intern(name)] = math.nan if is_nan else number
    return list(runs.values())


def _select_values(session: Session, chosen: Query[Any], *columns: Any) -> Query[Any]:
    """The rows of some columns that are of the chosen runs; the first column is a run's id."""
    return session.query(*columns).filter(columns[0].in_(chosen)).yield_per(_ROWS)


def select_points(store: SqlAlchemyStore, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """All points of a metric of some runs, as they were logged: a run's id, a step and a value each."""
    columns = SqlMetric.run_uuid, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan
    with store.ManagedSessionMaker() as session:
        rows = (
            session.query(*columns)
            .filter(SqlMetric.key == metric, SqlMetric.run_uuid.in_(run_ids))
            .order_by(SqlMetric.timestamp, SqlMetric.step)
            .all()
        )
    return [(run_id, step, math.nan if is_nan else value) for run_id, step, value, is_nan in rows]
