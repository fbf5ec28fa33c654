"""What many runs hold, fetched with few requests: epoch curves, and artifacts of one path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import pandas as pd
from mlflow.store.tracking.dbmodels.models import SqlMetric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.rest_utils import http_request, verify_rest_response

from mnist_flow.errors import TrackingError
from mnist_flow.runtime.garbage import collection_paused
from mnist_flow.tracking.past import fetch_text
from mnist_flow.tracking.server import clear_errors

# Limits of MLflow's server for one request, see mlflow.server.handlers.get_metric_history_bulk_handler.
_MAX_RUNS = 100
_MAX_POINTS = 25_000
# The UI fetches the curves of many runs here; MLflow's clients have no call for it.
_BULK_ENDPOINT = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
# Downloads at a time: most of the work is waiting for the artifact store.
_THREADS = 8


def fetch_histories(run_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """All points of some metrics of many runs, a request for a hundred runs and a metric.

    Returns:
        Columns run_id, metric, step, value, sorted by metric, run and step; of points at one step the last.

    Raises:
        TrackingError: the server does not answer.
    """
    parts = [_build_table([], "")]
    with clear_errors():
        for metric in metrics:
            for start in range(0, len(run_ids), _MAX_RUNS):
                parts += _fetch_bulk(run_ids[start : start + _MAX_RUNS], metric)
    table = pd.concat(parts)
    table = table.drop_duplicates(["metric", "run_id", "step"], keep="last")
    return table.sort_values(["metric", "run_id", "step"], ignore_index=True)


def _build_table(points: Sequence[tuple[str, int, float]], metric: str) -> pd.DataFrame:
    """A table of points, each a run's id, a step and a value. Rows of a run share its id."""
    ids: dict[str, str] = {}
    shared = [ids.setdefault(run_id, run_id) for run_id, _, _ in points]
    steps = np.array([step for _, step, _ in points], dtype=np.int64)
    values = np.array([value for _, _, value in points], dtype=np.float64)
    return pd.DataFrame({"run_id": np.array(shared, dtype=object), "metric": metric, "step": steps, "value": values})


def _fetch_bulk(run_ids: Sequence[str], metric: str) -> list[pd.DataFrame]:
    """Tables of points in the order in which they were logged."""
    store = _get_store()
    if isinstance(store, SqlAlchemyStore):
        return [_build_table(_select_points(store, run_ids, metric), metric)]
    response = http_request(
        store.get_host_creds(),
        _BULK_ENDPOINT,
        "GET",
        params={"run_id": list(run_ids), "metric_key": metric, "max_results": _MAX_POINTS},
    )
    listed = verify_rest_response(response, _BULK_ENDPOINT).json()["metrics"]
    if len(listed) < _MAX_POINTS:
        return [_build_table([(one["run_id"], int(one["step"]), float(one["value"])) for one in listed], metric)]
    # The response is full, so there may be more points.
    if len(run_ids) > 1:
        middle = len(run_ids) // 2
        return _fetch_bulk(run_ids[:middle], metric) + _fetch_bulk(run_ids[middle:], metric)
    history = mlflow.MlflowClient().get_metric_history(run_ids[0], metric)
    return [_build_table([(run_ids[0], one.step, one.value) for one in history], metric)]


def _select_points(store: SqlAlchemyStore, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """All points, by columns: MLflow's own bulk call makes an object of each, which takes ten times as long."""
    columns = SqlMetric.run_uuid, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan
    with store.ManagedSessionMaker() as session, collection_paused():
        rows = (
            session.query(*columns)
            .filter(SqlMetric.key == metric, SqlMetric.run_uuid.in_(run_ids))
            .order_by(SqlMetric.timestamp, SqlMetric.step)
            .all()
        )
    return [(run_id, step, math.nan if is_nan else value) for run_id, step, value, is_nan in rows]


def fetch_texts(run_ids: Sequence[str], path: str) -> Iterator[tuple[str, str | TrackingError]]:
    """A text artifact of each run, in order: the text, or why it can't be had."""

    def fetch(run_id: str) -> str | TrackingError:
        try:
            return fetch_text(run_id, path)
        except TrackingError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from zip(run_ids, pool.map(fetch, run_ids), strict=True)
