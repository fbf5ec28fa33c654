"""Records of one folder, brought to real stores."""

from __future__ import annotations

import json
import logging

import mlflow
import pytest
import requests

from mnist_flow import tracking
from mnist_flow.tracking import undelivered
from mnist_flow.tracking.delivery import Delivery
from support import find_free_port


@pytest.fixture
def experiment_id(store):
    return tracking.get_or_create_experiment("x")


@pytest.fixture
def keep(store, experiment_id, tmp_path, monkeypatch):
    """Keep the record of a run of the store, which a server that is away did not take; returns the run's id."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def keep_one(meant_for=None, operations=()):
        run_id = store.create_run(experiment_id).info.run_id
        uri = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"http://127.0.0.1:{find_free_port()}")
        sender = Delivery(run_id, experiment_id, tmp_path / "undelivered")
        for operation in operations:
            sender.put(operation)
        sender.put({"kind": "end", "status": "FINISHED", "end_time": 2000})
        file = sender.close(patience=0.0) / "record.json"
        mlflow.set_tracking_uri(uri)
        if meant_for is not None:
            file.write_text(json.dumps({**json.loads(file.read_text()), "tracking_uri": meant_for}))
        return run_id

    return keep_one


def test_a_folder_that_is_not_there_has_no_records(store, tmp_path):
    assert list(tracking.deliver_undelivered(tmp_path / "undelivered")) == []
    assert not (tmp_path / "undelivered").exists()


def test_each_record_goes_to_the_server_that_it_was_meant_for(store, experiment_id, keep, tmp_path):
    here = keep(mlflow.get_tracking_uri())
    other = mlflow.MlflowClient(f"sqlite:///{tmp_path}/other.db")
    assert other.create_experiment("y") == experiment_id
    there = other.create_run(experiment_id).info.run_id
    away = keep()
    folder = tmp_path / "undelivered"
    mine = keep(f"sqlite:///{tmp_path}/other.db")
    record = json.loads((folder / mine / "record.json").read_text())
    (folder / mine / "record.json").write_text(json.dumps({**record, "run_id": there}))
    told = {one.folder.name: one for one in tracking.deliver_undelivered(folder)}
    assert (told[here].run_id, told[mine].run_id, told[away].run_id) == (here, there, "")
    assert told[away].reason.endswith(": does not answer")
    assert store.get_run(here).info.status == "FINISHED"
    assert other.get_run(there).info.status == "FINISHED"
    assert [path.name for path in folder.iterdir()] == [away]


def test_all_records_can_be_sent_to_one_server(store, keep, tmp_path):
    ids = [keep(), keep("sqlite:///elsewhere.db")]
    told = list(tracking.deliver_undelivered(tmp_path / "undelivered", mlflow.get_tracking_uri()))
    assert {one.run_id for one in told} == set(ids)
    assert {store.get_run(run_id).info.status for run_id in ids} == {"FINISHED"}
    assert not (tmp_path / "undelivered").exists()


def test_the_epochs_of_a_record_are_sent_in_few_requests(store, keep, tmp_path, monkeypatch):
    epochs = [{"kind": "batch", "metrics": [["loss", 1 / epoch, epoch, epoch]]} for epoch in range(1, 1001)]
    told = {"kind": "inputs", "datasets": {}}
    run_id = keep(operations=[*epochs[:500], {"kind": "batch", "tags": {"a": "b"}}, told, *epochs[500:]])
    sizes, log_batch = [], mlflow.MlflowClient.log_batch

    def count(client, run_id, metrics=(), *others, **named):
        sizes.append(len(metrics))
        log_batch(client, run_id, metrics, *others, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", count)
    (done,) = tracking.deliver_undelivered(tmp_path / "undelivered", mlflow.get_tracking_uri())
    assert (done.run_id, sizes) == (run_id, [500, 500])
    assert [point.step for point in store.get_metric_history(run_id, "loss")] == list(range(1, 1001))
    assert store.get_run(run_id).data.tags["a"] == "b"


def test_one_server_that_is_away_is_tried_once_for_all_records(store, keep, tmp_path, monkeypatch):
    tried = []

    def try_once(client, folder):
        tried.append(folder)
        raise requests.ConnectionError("Connection refused")

    for _ in range(2):
        keep()
    monkeypatch.setattr(undelivered, "deliver_record", try_once)
    told = list(tracking.deliver_undelivered(tmp_path / "undelivered", "http://127.0.0.1:9"))
    assert [one.reason for one in told] == ["tracking server http://127.0.0.1:9: does not answer"] * 2
    assert len(tried) == 1


def test_a_run_that_the_server_does_not_have_is_told_and_kept(store, experiment_id, keep, tmp_path):
    run_id = keep(mlflow.get_tracking_uri())
    # Unquoted, Hydra would take this id for a number.
    folder = (tmp_path / "undelivered" / run_id).rename(tmp_path / "undelivered" / ("1e1" + "0" * 29))
    file = folder / "record.json"
    file.write_text(file.read_text().replace(run_id, folder.name))
    (told,) = tracking.deliver_undelivered(tmp_path / "undelivered")
    assert told.run_id == ""
    assert f"has no run {folder.name}" in told.reason
    assert f"""action=delete_records "run_ids=['{folder.name}']\"""" in told.reason
    assert file.exists()


def test_the_folder_stays_where_something_else_is_in_it(store, keep, tmp_path):
    keep(mlflow.get_tracking_uri())
    (tmp_path / "undelivered" / "notes.txt").touch()
    (told,) = tracking.deliver_undelivered(tmp_path / "undelivered")
    assert told.run_id
    assert [path.name for path in (tmp_path / "undelivered").iterdir()] == ["notes.txt"]


def test_the_next_command_delivers_and_says_so(store, keep, tmp_path, caplog):
    delivered, away = keep(mlflow.get_tracking_uri()), keep()
    with caplog.at_level(logging.WARNING):
        tracking.deliver_kept_records(tmp_path / "undelivered")
    assert f"delivered run {delivered}, whose record was kept in {tmp_path}/undelivered" in caplog.text
    assert f"records in {tmp_path}/undelivered that are still not delivered: 1 (tracking server http://" in caplog.text
    assert away in {path.name for path in (tmp_path / "undelivered").iterdir()}
