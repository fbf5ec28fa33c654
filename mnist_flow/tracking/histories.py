"""Epoch curves of many runs, fetched with few requests."""

from __future__ import annotations

from collections.abc import Sequence

import mlflow
import numpy as np
import pandas as pd
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.rest_utils import http_request, verify_rest_response

from mnist_flow.runtime.garbage import collection_paused
from mnist_flow.tracking.columns import find_database, select_points
from mnist_flow.tracking.server import clear_errors

# Limits of MLflow's server for one request, see mlflow.server.handlers.get_metric_history_bulk_handler.
_MAX_RUNS = 100
_MAX_POINTS = 25_000
# SQLite reads all points of a metric, those of other runs too, for each request.
_MAX_RUNS_OF_DATABASE = 2000
# The UI fetches the curves of many runs here; MLflow's clients have no call for it.
_BULK_ENDPOINT = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"


def fetch_histories(run_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Fetch all points of some metrics: those of 100 runs a request to a server, of 2,000 a request to a database.

    Returns:
        Columns run_id, metric, step, value, sorted by metric, run and step; of points at one step the last.

    Raises:
        TrackingError: the server does not answer.
    """
    parts = [_build_table([], "")]
    with clear_errors():
        at_a_time = _MAX_RUNS if find_database() is None else _MAX_RUNS_OF_DATABASE
        for metric in metrics:
            for start in range(0, len(run_ids), at_a_time):
                parts += _fetch_bulk(run_ids[start : start + at_a_time], metric)
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
    database = find_database()
    if database is not None:
        with collection_paused():
            return [_build_table(select_points(database, run_ids, metric), metric)]
    response = http_request(
        _get_store().get_host_creds(),
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
