"""Runs that are read from a database's columns are those that MLflow's own calls return."""

from __future__ import annotations

import math

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mnist_flow import tracking
from mnist_flow.tracking import columns
from mnist_flow.tracking.past import search_finished_training


def log_run(client: mlflow.MlflowClient, experiment_id: str, number: int, kind: str = "train") -> str:
    """Log a finished run; those of the numbers 0 and 1 start at the same time, 2 and 3 a millisecond earlier."""
    run_id = client.create_run(
        experiment_id, start_time=1_000 - number // 2, tags={tracking.KIND_TAG: kind}
    ).info.run_id
    metrics = [Metric("loss", number / 3, 0, 2), Metric("loss", math.inf, 0, 1), Metric("accuracy", math.nan, 0, 0)]
    params = [Param("reg", str(number)), Param("empty", "")]
    client.log_batch(run_id, metrics, params, [RunTag(tracking.FINGERPRINT_TAG, "é" * number), RunTag("empty", None)])
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
    assert [run.info.run_id for run in read] == [*sorted(run_ids[2:]), *sorted(run_ids[:2])]
    last = next(run for run in read if run.info.run_id == run_ids[3])
    assert last.data.params == {"reg": "3", "empty": ""}
    assert last.data.metrics["loss"] == 1.0
    assert math.isnan(last.data.metrics["accuracy"])
    assert last.data.tags["empty"] is None
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
    assert select({}, {"empty": ""}) == [(running, "RUNNING"), ended[2], *sorted(ended[:2])]
    assert select({}, {"empty": ""}, "RUNNING") == [(running, "RUNNING")]
    assert select({}, {"empty": "", "reg": "1"}) == [ended[1]]
    assert select({tracking.FINGERPRINT_TAG: "éé", tracking.KIND_TAG: "train"}, {}) == [ended[2]]
    assert select({tracking.FINGERPRINT_TAG: "éé"}, {"reg": "1"}) == []


def test_a_run_that_is_deleted_meanwhile_keeps_its_values(store, monkeypatch):
    experiment_id = store.create_experiment("one")
    run_id = log_run(store, experiment_id, 3)
    read_values = columns._read_values

    def delete_first(*arguments):
        if store.get_run(run_id).info.lifecycle_stage == "active":
            store.delete_run(run_id)
        return read_values(*arguments)

    monkeypatch.setattr(columns, "_read_values", delete_first)
    (run,) = columns.select_runs(columns.find_database(), experiment_id, {tracking.KIND_TAG: "train"}, {}, "FINISHED")
    assert run.data.params["reg"] == "3"
    assert run.data.tags[tracking.KIND_TAG] == "train"
    assert run.data.metrics["loss"] == 1.0


@pytest.mark.parametrize(("kind", "same"), [("sqlite", True), ("postgresql", True), ("mysql", False), ("mssql", False)])
def test_databases_that_do_not_tell_upper_from_lower_case_are_left_to_mlflow(store, monkeypatch, kind, same):
    database = columns.find_database()
    monkeypatch.setattr(database, "db_type", kind)
    assert columns.compares_as_mlflow(database) is same


def test_a_store_with_workspaces_is_left_to_mlflow(store):
    class Store(SqlAlchemyStore):
        def __init__(self):
            self.db_type = "sqlite"

    assert not columns.compares_as_mlflow(Store())


def test_an_experiment_without_runs(store):
    experiment_id = store.create_experiment("empty")
    assert (
        columns.select_runs(columns.find_database(), experiment_id, {tracking.KIND_TAG: "train"}, {}, "FINISHED") == []
    )


def test_a_server_is_not_a_database(monkeypatch):
    monkeypatch.setattr(columns, "_get_store", object)
    assert columns.find_database() is None
