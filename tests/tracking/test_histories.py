"""Curves of many runs, from a store and from a server."""

from __future__ import annotations

import time
from collections import Counter

import mlflow
import numpy as np
import pytest
from mlflow.entities import Metric

from mnist_flow import tracking
from mnist_flow.tracking import histories


def log_runs(client: mlflow.MlflowClient, count: int, epochs: int) -> list[str]:
    experiment_id = client.create_experiment("curves")
    run_ids = []
    for number in range(count):
        run_id = client.create_run(experiment_id).info.run_id
        points = [Metric(name, number + epoch / 100, 0, epoch) for name in "ab" for epoch in range(1, epochs + 1)]
        client.log_batch(run_id, metrics=points)
        run_ids.append(run_id)
    return run_ids


@pytest.fixture
def requests_made(monkeypatch) -> Counter:
    counts: Counter = Counter()
    fetch = histories._fetch_bulk

    def counted(*arguments):
        counts["bulk"] += 1
        return fetch(*arguments)

    monkeypatch.setattr(histories, "_fetch_bulk", counted)
    return counts


def test_all_points_of_all_runs(store, requests_made):
    run_ids = log_runs(store, 3, epochs=4)
    table = tracking.fetch_histories(run_ids, ["b", "a"])
    assert list(table) == ["run_id", "metric", "step", "value"]
    assert len(table) == 2 * 3 * 4
    one = table[(table["run_id"] == run_ids[1]) & (table["metric"] == "a")]
    assert one["step"].tolist() == [1, 2, 3, 4]
    assert one["value"].tolist() == [1.01, 1.02, 1.03, 1.04]
    assert requests_made["bulk"] == 2


def test_more_runs_than_an_answer_holds_take_more_requests(store, requests_made, monkeypatch):
    run_ids = log_runs(store, 5, epochs=4)
    monkeypatch.setattr(histories, "_MAX_RUNS_OF_DATABASE", 2)
    assert len(tracking.fetch_histories(run_ids, ["a"])) == 5 * 4
    assert requests_made["bulk"] == 3


def test_points_that_are_not_numbers(store):
    (run_id,) = log_runs(store, 1, epochs=1)
    store.log_metric(run_id, "a", float("nan"), step=2)
    assert np.isnan(tracking.fetch_histories([run_id], ["a"])["value"][1])


def test_runs_without_the_metric_have_no_rows(store):
    run_ids = log_runs(store, 1, epochs=1)
    assert tracking.fetch_histories(run_ids, ["c"]).empty
    assert tracking.fetch_histories([], ["a"]).empty


def test_a_server_gives_the_same(mlflow_server, requests_made, monkeypatch):
    mlflow.set_tracking_uri(mlflow_server.uri)
    try:
        run_ids = log_runs(mlflow.MlflowClient(), 3, epochs=4)
        table = tracking.fetch_histories(run_ids, ["a"])
        assert requests_made["bulk"] == 1
        monkeypatch.setattr(histories, "_MAX_RUNS", 2)
        assert tracking.fetch_histories(run_ids, ["a"]).equals(table)
        assert requests_made["bulk"] == 1 + 2
        # An answer that may have been cut off is asked for in halves, and run by run in the end.
        for most in (4, 3):
            monkeypatch.setattr(histories, "_MAX_POINTS", most)
            assert tracking.fetch_histories(run_ids, ["a"]).equals(table)
    finally:
        mlflow.set_tracking_uri(None)
    assert table["step"].tolist() == [1, 2, 3, 4] * 3
    assert sorted(table["value"]) == [number + epoch / 100 for number in range(3) for epoch in range(1, 5)]


@pytest.mark.slow
def test_a_thousand_runs_of_forty_epochs_take_seconds(store):
    run_ids = log_runs(store, 1000, epochs=40)
    started = time.monotonic()
    assert len(tracking.fetch_histories(run_ids, ["a", "b"])) == 2 * 1000 * 40
    assert time.monotonic() - started < 15
