"""Runs that are read from a database's columns are those that MLflow's own calls return."""

from __future__ import annotations

import math

import mlflow
from mlflow.entities import Metric, Param, RunTag

from mnist_flow import tracking
from mnist_flow.tracking import columns
from mnist_flow.tracking.past import search_finished_training


def log_run(client: mlflow.MlflowClient, experiment_id: str, number: int, kind: str = "train") -> str:
    run_id = client.create_run(experiment_id, start_time=1_000 - number, tags={tracking.KIND_TAG: kind}).info.run_id
    metrics = [Metric("loss", number / 3, 0, 2), Metric("loss", math.inf, 0, 1), Metric("accuracy", math.nan, 0, 0)]
    params = [Param("reg", str(number)), Param("empty", "")]
    client.log_batch(run_id, metrics, params, [RunTag(tracking.FINGERPRINT_TAG, "é" * number)])
    client.set_terminated(run_id, "FINISHED", end_time=2_000 + number)
    return run_id


def test_runs_are_those_of_mlflows_search(store):
    one, other = store.create_experiment("one"), store.create_experiment("other")
    run_ids = [log_run(store, one, number) for number in range(4)]
    log_run(store, one, 5, kind="sweep")
    log_run(store, other, 6)
    store.delete_run(log_run(store, one, 7))
    store.create_run(one, tags={tracking.KIND_TAG: "train"})
    database = columns.find_database()
    read = columns.select_runs(database, one, {tracking.KIND_TAG: "train"}, {}, "FINISHED")
    assert [run.info.run_id for run in read] == run_ids[::-1]
    assert read[0].data.params == {"reg": "3", "empty": ""}
    assert read[0].data.metrics["loss"] == 1.0
    assert math.isnan(read[0].data.metrics["accuracy"])
    found = search_finished_training(one, None)
    assert [dict(run.info) for run in read] == [dict(run.info) for run in found]
    assert [str(run.data.metrics) for run in read] == [str(run.data.metrics) for run in found]
    assert [(run.data.params, run.data.tags) for run in read] == [(run.data.params, run.data.tags) for run in found]


def test_runs_are_chosen_by_all_tags_params_and_the_status(store):
    experiment_id = store.create_experiment("one")
    run_ids = [log_run(store, experiment_id, number) for number in range(3)]
    running = store.create_run(experiment_id, start_time=1, tags={tracking.KIND_TAG: "train"}).info.run_id
    store.log_param(running, "empty", "")
    database = columns.find_database()

    def select(tags, params, status=None):
        chosen = columns.select_runs(database, experiment_id, tags, params, status)
        return [(run.info.run_id, run.info.status) for run in chosen]

    ended = [(run_id, "FINISHED") for run_id in run_ids]
    assert select({}, {"empty": ""}) == [(running, "RUNNING"), *ended[::-1]]
    assert select({}, {"empty": ""}, "RUNNING") == [(running, "RUNNING")]
    assert select({}, {"empty": "", "reg": "1"}) == [ended[1]]
    assert select({tracking.FINGERPRINT_TAG: "éé", tracking.KIND_TAG: "train"}, {}) == [ended[2]]
    assert select({tracking.FINGERPRINT_TAG: "éé"}, {"reg": "1"}) == []


def test_an_experiment_without_runs(store):
    experiment_id = store.create_experiment("empty")
    assert (
        columns.select_runs(columns.find_database(), experiment_id, {tracking.KIND_TAG: "train"}, {}, "FINISHED") == []
    )


def test_a_server_is_not_a_database(monkeypatch):
    monkeypatch.setattr(columns, "_get_store", object)
    assert columns.find_database() is None
