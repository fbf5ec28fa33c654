"""Writing to and reading from a real store."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from mnist_flow import tracking
from mnist_flow.errors import TrackingError


def test_the_fingerprint_is_a_function_of_the_content():
    one, other = {"a": 1, "b": [0.1, None]}, {"b": [0.1, None], "a": 1}
    assert tracking.compute_fingerprint(one) == tracking.compute_fingerprint(other)
    assert tracking.compute_fingerprint({"a": 1}) == "015abd7f5cc57a2d"
    assert tracking.compute_fingerprint({"a": 2}) != tracking.compute_fingerprint({"a": 1})


def test_the_variable_of_mlflow_wins_over_the_config(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from_variable")
    experiment_id = tracking.get_or_create_experiment("from_config")
    assert store.get_experiment(experiment_id).name == "from_variable"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert tracking.get_or_create_experiment("from_config") == "77"


def _create_experiment(uri: str, results: multiprocessing.Queue) -> None:
    tracking.configure(uri)
    results.put(tracking.get_or_create_experiment("shared"))


def test_processes_that_create_an_experiment_at_once_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    workers = [context.Process(target=_create_experiment, args=(uri, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    ids = {results.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(ids) == 1
    assert ids != {"0"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_is_killed(store, error):
    experiment_id = tracking.get_or_create_experiment("x")
    with pytest.raises(error), tracking.start_run(experiment_id, "name", {}) as run:
        raise error
    assert store.get_run(run.info.run_id).info.status == "KILLED"


def test_a_failed_run_keeps_its_traceback_without_credentials(store, tmp_path):
    experiment_id = tracking.get_or_create_experiment("x")
    with pytest.raises(ValueError, match="sesame"), tracking.start_run(experiment_id, "name", {}) as run:
        raise ValueError("no answer from http://ada:sesame@example.org")
    assert store.get_run(run.info.run_id).info.status == "FAILED"
    text = Path(store.download_artifacts(run.info.run_id, "traceback.txt", str(tmp_path))).read_text()
    assert "ValueError: no answer from http://***@example.org" in text


def test_a_sweep_ends_with_its_children(store):
    experiment_id = tracking.get_or_create_experiment("x")
    parent = tracking.create_sweep(experiment_id, ["reg=0,1"])
    child = store.create_run(experiment_id, tags={"mlflow.parentRunId": parent})
    other = store.create_run(experiment_id)
    assert tracking.end_sweep(parent, experiment_id, "KILLED") == 1
    statuses = [store.get_run(run_id).info.status for run_id in (parent, child.info.run_id, other.info.run_id)]
    assert statuses == ["KILLED", "KILLED", "RUNNING"]


def test_only_finished_training_runs_are_fetched(store):
    experiment_id = tracking.get_or_create_experiment("x")
    with tracking.start_run(experiment_id, "wanted", {tracking.KIND_TAG: "train"}) as wanted:
        tracking.log_params({"reg": 1e-5, "model.name": "mlp"})
    with tracking.start_run(experiment_id, "sweep", {tracking.KIND_TAG: "sweep"}):
        pass
    store.create_run(experiment_id, tags={tracking.KIND_TAG: "train"})
    runs = tracking.fetch_runs(experiment_id)
    assert list(runs["run_id"]) == [wanted.info.run_id]
    assert runs["params.reg"].iloc[0] == "1e-05"
    assert tracking.fetch_runs(experiment_id, "params.`model.name` = 'cnn'").empty
    with pytest.raises(TrackingError):
        tracking.fetch_runs(experiment_id, "nonsense ==")


def test_a_table_can_be_loaded_back_across_runs(store):
    experiment_id = tracking.get_or_create_experiment("x")
    for value in (1, 2):
        with tracking.start_run(experiment_id, "name", {}):
            tracking.log_table("tables/t.json", pd.DataFrame({"value": [value]}))
    ids = [run.info.run_id for run in store.search_runs([experiment_id])]
    mlflow.set_experiment(experiment_id=experiment_id)
    table = mlflow.load_table("tables/t.json", run_ids=ids, extra_columns=["run_id"])
    assert sorted(table["value"]) == [1, 2]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [("http://ada:sesame@127.0.0.1:9", "http://***@127.0.0.1:9: does not answer"), ("foo://bar", "foo://bar")],
)
def test_a_server_that_does_not_answer_is_one_clear_line(monkeypatch, uri, shown):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    try:
        tracking.configure(uri)
        with pytest.raises(TrackingError) as caught:
            tracking.get_or_create_experiment("x")
    finally:
        mlflow.set_tracking_uri(None)
    assert shown in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
