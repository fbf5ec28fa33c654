"""Records on their way to a real server that is killed and started again, and to real stores that refuse."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
import time
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import requests

from mnist_flow import tracking
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import LostRecordError, TrackingError, UndeliveredError
from mnist_flow.tracking import delivery, names
from mnist_flow.tracking.delivery import Delivery, deliver_record, list_records, load_record
from mnist_flow.tracking.operations import deliver
from support import DEAD_PROCESS, find_free_port, wait_until


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch):
    """MLflow's own retries take seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def server(shared_server, tmp_path, monkeypatch):
    """A tracking server that answers now, and is the one in force."""
    monkeypatch.chdir(tmp_path)
    try:
        requests.get(f"{shared_server.uri}/health", timeout=5)
    except requests.ConnectionError:
        shared_server.start()
    mlflow.set_tracking_uri(shared_server.uri)
    yield shared_server
    mlflow.set_tracking_uri(None)


@pytest.fixture
def client(server):
    return mlflow.MlflowClient(server.uri)


@pytest.fixture
def experiment_id(client, tmp_path):
    return client.create_experiment(tmp_path.name)


def steps(client, run_id, metric):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]


NO_PATIENCE = tracking.DeliveryOptions(patience=0.0, undelivered_dir=Path("undelivered"))


# A server that goes away


def test_what_is_put_while_the_server_is_away_arrives_in_order(server, client, experiment_id, tmp_path):
    run_id = client.create_run(experiment_id).info.run_id
    sender = Delivery(run_id, experiment_id, tmp_path / "undelivered")
    sender.put({"kind": "batch", "tags": {"state": "before"}})
    wait_until(lambda: client.get_run(run_id).data.tags.get("state") == "before", seconds=30)
    server.kill()
    for number in range(20):
        sender.put({"kind": "batch", "metrics": [["loss", float(number), 1000 + number, number]]})
        sender.put({"kind": "batch", "tags": {"state": f"after {number}"}})
    server.start()
    assert sender.close(patience=60) is None
    assert steps(client, run_id, "loss") == [(number, float(number)) for number in range(20)]
    assert client.get_run(run_id).data.tags["state"] == "after 19"
    assert not (tmp_path / "undelivered").exists()


@pytest.fixture
def slow_server(monkeypatch):
    """A store in place of a server that takes the first operation up and answers it only when the event is set.

    Returns that event, and the operations in the order in which they are sent.
    """
    go_on, sent = threading.Event(), []
    deliver = delivery.deliver

    def answer_late(client, run_id, experiment_id, operation, files):
        sent.append(operation)
        assert go_on.wait(60)
        deliver(client, run_id, experiment_id, operation, files)

    monkeypatch.setattr(delivery, "deliver", answer_late)
    return go_on, sent


def put_much(sender, model_id, sent):
    """Epochs behind an operation that is being sent, and other operations among them."""
    sender.put({"kind": "batch", "tags": {"state": "first"}})
    wait_until(lambda: sent, seconds=20)
    for number in range(100):
        sender.put({"kind": "batch", "metrics": [["loss", float(number), 1000 + number, number]]})
        sender.put({"kind": "batch", "tags": {"state": f"after {number}"}, "params": {f"p{number}": "1"}})
    sender.put({"kind": "batch", "metrics": [["accuracy", 0.5, 1, 0]], "model_id": model_id})
    folder = sender.make_folder()
    (folder / "a.txt").write_text("a")
    sender.put({"kind": "artifacts", "folder": folder.name})
    sender.put({"kind": "batch", "tags": {"state": "last"}})
    sender.put({"kind": "end", "status": "FINISHED", "end_time": 1000})


WHOLE = [("batch", 0), ("batch", 100), ("batch", 1), ("artifacts", 0), ("batch", 0), ("end", 0)]


def describe_operations(operations):
    return [(operation["kind"], len(operation.get("metrics", []))) for operation in operations]


def test_what_waits_behind_a_slow_server_goes_in_few_requests(store, slow_server, tmp_path):
    go_on, sent = slow_server
    run_id = store.create_run("0").info.run_id
    model_id = store.create_logged_model("0", "model", run_id).model_id
    sender = Delivery(run_id, "0", tmp_path / "undelivered")
    put_much(sender, model_id, sent)
    go_on.set()
    assert sender.close(patience=60) is None
    assert describe_operations(sent) == WHOLE
    run = store.get_run(run_id)
    assert steps(store, run_id, "loss") == [(number, float(number)) for number in range(100)]
    assert run.data.params == {f"p{number}": "1" for number in range(100)}
    assert (run.data.tags["state"], run.info.status) == ("last", "FINISHED")
    assert [metric.key for metric in store.get_logged_model(model_id).metrics] == ["accuracy"]


def test_what_is_sent_as_one_is_kept_whole_where_the_server_goes_away(store, slow_server, tmp_path, monkeypatch):
    go_on, sent = slow_server
    run_id = store.create_run("0").info.run_id
    model_id = store.create_logged_model("0", "model", run_id).model_id
    log_batch = mlflow.MlflowClient.log_batch

    def go_away(client, *batch):
        log_batch(client, *batch)
        if batch[1]:
            # The points arrive, and the answer does not.
            raise requests.ConnectionError("Connection reset by peer")

    with monkeypatch.context() as away:
        away.setattr(mlflow.MlflowClient, "log_batch", go_away)
        sender = Delivery(run_id, "0", tmp_path / "undelivered")
        put_much(sender, model_id, sent)
        go_on.set()
        wait_until(lambda: sender._last_error, seconds=20)
        kept = sender.close(patience=0)
    assert describe_operations(load_record(kept)["operations"]) == WHOLE[1:]
    deliver_record(store, kept)
    assert steps(store, run_id, "loss") == [(number, float(number)) for number in range(100)]
    assert store.get_run(run_id).data.tags["state"] == "last"
    assert [metric.key for metric in store.get_logged_model(model_id).metrics] == ["accuracy"]


def test_no_more_is_sent_as_one_than_one_request_takes(store, slow_server, tmp_path):
    go_on, sent = slow_server
    run_id = store.create_run("0").info.run_id
    sender = Delivery(run_id, "0", tmp_path / "undelivered")
    sender.put({"kind": "batch", "tags": {"state": "first"}})
    wait_until(lambda: sent, seconds=20)
    for number in range(9):
        sender.put({"kind": "batch", "metrics": [[f"m{one}", 0.5, 1000 + number, number] for one in range(150)]})
    go_on.set()
    assert sender.close(patience=60) is None
    assert describe_operations(sent) == [("batch", 0), ("batch", 750), ("batch", 600)]


def test_the_pauses_between_attempts_double_up_to_five_seconds(store, monkeypatch, tmp_path):
    pauses = []

    class SixAttempts:
        """In place of the event that ends the waiting; no time passes."""

        def is_set(self):
            return len(pauses) == 6

        def wait(self, pause):
            pauses.append(pause)

        def set(self):
            pass

    def stay_away(*arguments):
        raise requests.ConnectionError

    monkeypatch.setattr(delivery, "deliver", stay_away)
    sender = Delivery("a", "0", tmp_path / "undelivered")
    monkeypatch.setattr(sender, "_give_up", SixAttempts())
    sender.put({"kind": "batch"})
    sender.close(patience=60)
    assert pauses == [0.5, 1, 2, 4, 5, 5]


def test_a_run_goes_on_and_is_kept_where_the_server_stays_away(server, client, experiment_id, tmp_path):
    def log_a_little(run):
        server.kill()
        run.log_params({"reg": 0.0})
        run.log_epoch(1, {"loss": 0.5})
        run.log_artifacts(texts={"folder/text.txt": "kept"})

    with (
        pytest.raises(UndeliveredError) as caught,
        tracking.start_run(experiment_id, "n", {}, options=NO_PATIENCE) as run,
    ):
        log_a_little(run)
    record = tmp_path / "undelivered" / run.run_id
    assert str(caught.value) == (
        f"run {run.run_id} is FINISHED, but tracking server {server.uri}: does not answer. Its record is kept in "
        f"{record}; deliver it: python -m mnist_flow.sync tracking.undelivered_dir={record.parent}"
    )
    assert list_records(tmp_path / "undelivered") == [record]
    found = load_record(record)
    assert (found["run_id"], found["experiment_id"], found["tracking_uri"]) == (run.run_id, experiment_id, server.uri)
    # Two batches are one where both are put before the first is sent.
    kinds = [kind for kind, _ in groupby(operation["kind"] for operation in found["operations"])]
    assert kinds == ["batch", "artifacts", "end"]

    server.start()
    assert client.get_run(run.run_id).info.status == "RUNNING"
    assert deliver_record(client, record) == run.run_id
    delivered = client.get_run(run.run_id)
    assert (delivered.info.status, delivered.data.params) == ("FINISHED", {"reg": "0.0"})
    assert delivered.info.end_time == found["operations"][-1]["end_time"]
    assert steps(client, run.run_id, "loss") == [(1, 0.5)]
    text = client.download_artifacts(run.run_id, "folder/text.txt", str(tmp_path))
    assert Path(text).read_text(encoding="utf-8") == "kept"
    assert not record.exists()


def test_a_server_that_takes_a_question_and_does_not_answer_is_waited_for_no_longer_than_patience(
    server, client, experiment_id, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "40")
    monkeypatch.setattr(delivery, "_SLOW_SECONDS", 1.0, raising=False)
    sender = Delivery(client.create_run(experiment_id).info.run_id, experiment_id, tmp_path / "undelivered")
    with server.paused():
        sender.put({"kind": "batch", "tags": {"state": "after"}})
        begun = time.monotonic()
        kept = sender.close(patience=2)
        waited = time.monotonic() - begun
    assert 2 <= waited < 20
    assert load_record(kept)["reason"] == "does not answer"


@pytest.fixture(scope="module")
def network():
    import keras

    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])


def log_everything(run, network):
    digits = load_data_set("digits")
    images = digits.test.images[:2]
    run.log_params({"reg": 0.0})
    run.log_data_set(digits, {"test": digits.test})
    for epoch in (1, 2):
        run.log_epoch(epoch, {"loss": 1 / epoch})
    run.log_metrics({"test_loss": 0.25})
    run.log_artifacts(tables={"tables/t.json": pd.DataFrame({"a": [1]})})
    run.log_model(network, images, network.predict(images, verbose=0), own_parts={})


def log_everything_without(server, run, network):
    server.kill()
    log_everything(run, network)


def assert_has_everything_once(client, run_id):
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"reg": "0.0"}
    assert steps(client, run_id, "loss") == [(1, 1.0), (2, 0.5)]
    assert steps(client, run_id, "test_loss") == [(0, 0.25)]
    assert len(run.inputs.dataset_inputs) == 1
    assert json.loads(run.data.tags[names.TABLES_TAG]) == [{"path": "tables/t.json", "type": "table"}]
    assert [entry.path for entry in client.list_artifacts(run_id, "tables")] == ["tables/t.json"]
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    assert (model.name, str(model.status)) == ("model", "READY")
    assert [(output.model_id, output.step) for output in run.outputs.model_outputs] == [(model.model_id, 0)]
    assert {metric.key: metric.value for metric in model.metrics} == {"test_loss": 0.25}


def test_what_is_delivered_twice_is_there_once(server, client, experiment_id, tmp_path, network):
    with pytest.raises(UndeliveredError), tracking.start_run(experiment_id, "n", {}, options=NO_PATIENCE) as run:
        log_everything_without(server, run, network)
    server.start()
    record = tmp_path / "undelivered" / run.run_id
    shutil.copytree(record, tmp_path / "again" / run.run_id)
    deliver_record(client, record)
    assert_has_everything_once(client, run.run_id)
    deliver_record(client, tmp_path / "again" / run.run_id)
    assert_has_everything_once(client, run.run_id)
    model = mlflow.pyfunc.load_model(f"runs:/{run.run_id}/model")
    images = load_data_set("digits").test.images[:2]
    assert model.predict(images) == pytest.approx(network.predict(images, verbose=0), abs=1e-6)


# In a store, which answers at once


@pytest.fixture
def store_experiment_id(store):
    return tracking.get_or_create_experiment("x")


def test_a_run_has_everything_once_in_a_store(store, store_experiment_id, network):
    with tracking.start_run(store_experiment_id, "n", {}) as run:
        log_everything(run, network)
    assert_has_everything_once(store, run.run_id)


def test_a_model_is_the_input_of_the_run_that_measures_it_once(store, store_experiment_id, network, tmp_path):
    with tracking.start_run(store_experiment_id, "n", {}) as run:
        log_everything(run, network)
    (model,) = store.search_logged_models([store_experiment_id])
    measuring = store.create_run(store_experiment_id).info.run_id
    operations = [
        {"kind": "inputs", "datasets": {}, "models": [model.model_id]},
        {"kind": "batch", "metrics": [["worst", 0.5, 1, 0]], "model_id": model.model_id},
    ]
    for operation in 2 * operations:
        deliver(store, measuring, store_experiment_id, operation, tmp_path)
    inputs = store.get_run(measuring).inputs.model_inputs
    assert [one.model_id for one in inputs] == [model.model_id]
    metrics = store.get_logged_model(model.model_id).metrics
    assert [(one.value, one.run_id) for one in metrics if one.key == "worst"] == [(0.5, measuring)]
    assert store.get_run(measuring).data.metrics == {"worst": 0.5}


@pytest.mark.parametrize("broken", ["log_outputs", "log_model_artifacts", "log_batch", "finalize_logged_model"])
def test_a_model_whose_delivery_breaks_off_is_one_model(store, store_experiment_id, network, tmp_path, broken):
    """The server goes away after any of the requests that a model takes."""
    folder = keep_model(store_experiment_id, network, tmp_path)
    operation = next(one for one in load_record(folder)["operations"] if one["kind"] == "model")
    run_id = folder.name

    class BreakingClient(mlflow.MlflowClient):
        pass

    def break_off(self, *arguments, **options):
        raise requests.ConnectionError("Connection reset by peer")

    setattr(BreakingClient, broken, break_off)
    with pytest.raises(requests.ConnectionError):
        deliver(BreakingClient(), run_id, store_experiment_id, operation, folder)
    deliver_record(store, folder)
    assert_has_everything_once(store, run_id)


def keep_model(experiment_id, network, tmp_path):
    """The record of a whole run that nothing of has been delivered."""
    client = mlflow.MlflowClient()
    run_id = client.create_run(experiment_id).info.run_id
    uri = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"http://127.0.0.1:{find_free_port()}")
    try:
        run = tracking.TrackedRun(run_id, experiment_id, tracking.DeliveryOptions(0.0, tmp_path / "undelivered"))
        log_everything(run, network)
        with pytest.raises(UndeliveredError):
            run.end("FINISHED")
    finally:
        mlflow.set_tracking_uri(uri)
    return tmp_path / "undelivered" / run_id


def log_text_and_epoch(run):
    run.log_artifacts(texts={"a.txt": "a"})
    run.log_epoch(1, {"loss": 0.5})


def test_a_store_that_refuses_is_not_waited_for_and_the_record_says_why(store, store_experiment_id, tmp_path):
    (tmp_path / "mlruns").touch()  # where the artifacts should go
    start = time.monotonic()
    options = tracking.DeliveryOptions(patience=600.0, undelivered_dir=tmp_path / "undelivered")
    with (
        pytest.raises(UndeliveredError, match=r"(Not a directory|File exists).*Its record is kept in"),
        tracking.start_run(store_experiment_id, "n", {}, options=options) as run,
    ):
        log_text_and_epoch(run)
    assert time.monotonic() - start < 60
    record = load_record(tmp_path / "undelivered" / run.run_id)
    assert "mlruns" in record["reason"]
    assert [operation["kind"] for operation in record["operations"]] == ["artifacts", "batch", "end"]

    (tmp_path / "mlruns").unlink()
    deliver_record(store, tmp_path / "undelivered" / run.run_id)
    assert store.get_run(run.run_id).info.status == "FINISHED"
    assert steps(store, run.run_id, "loss") == [(1, 0.5)]


def test_a_record_that_can_not_be_kept_is_told_with_both_reasons(store, store_experiment_id, tmp_path):
    (tmp_path / "mlruns").touch()
    (tmp_path / "undelivered").touch()
    options = tracking.DeliveryOptions(patience=0.0, undelivered_dir=tmp_path / "undelivered")
    with (
        pytest.raises(LostRecordError) as caught,
        tracking.start_run(store_experiment_id, "n", {}, options=options) as run,
    ):
        run.log_artifacts(texts={"a.txt": "a"})
    text = str(caught.value)
    assert text.startswith(f"run {run.run_id}: tracking server sqlite:///{tmp_path}/mlflow.db: ")
    assert f"{tmp_path}/mlruns" in text
    assert f"its record can't be kept in tracking.undelivered_dir={tmp_path}/undelivered (" in text
    assert "\n" not in text


def test_a_record_takes_the_place_of_an_earlier_one_of_its_run(store, store_experiment_id, tmp_path):
    """A run that was taken up again after its record had been kept has all of it logged anew."""
    (tmp_path / "mlruns").touch()
    run_id = store.create_run(store_experiment_id).info.run_id
    unfinished = tmp_path / "undelivered" / f"{run_id}.part"
    for value in ("earlier", "later"):
        # What was broken off while it was kept is no part of the next.
        unfinished.mkdir(parents=True)
        (unfinished / "half.txt").touch()
        sender = Delivery(run_id, store_experiment_id, tmp_path / "undelivered")
        folder = sender.make_folder()
        (folder / f"{value}.txt").touch()
        sender.put({"kind": "artifacts", "folder": folder.name})
        kept = sender.close(patience=0)
    assert list_records(tmp_path / "undelivered") == [kept]
    assert [file.name for file in kept.rglob("*.txt")] == ["later.txt"]


@pytest.mark.parametrize(
    ("error", "current", "patience", "longest"),
    [
        (OSError(), {"kind": "batch"}, 5, 5),
        (OSError(), {"kind": "artifacts", "folder": "a"}, 5, 5),
        # It may be slow to answer, and an upload takes as long as it wants.
        (None, {"kind": "batch"}, 5, delivery._SLOW_SECONDS),
        (None, {"kind": "batch"}, 1000, 1000),
        (None, None, 5, delivery._SLOW_SECONDS),
        (None, {"kind": "artifacts", "folder": "a"}, 5, math.inf),
    ],
)
def test_how_long_a_server_may_do_nothing_before_it_is_away(monkeypatch, error, current, patience, longest):
    now = 10_000.0
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: now))
    waiting = SimpleNamespace(_last_error=error, _current=current, _answered_at=0.0)
    assert not Delivery._is_away(waiting, now - min(longest - 1, 9000), patience)
    assert Delivery._is_away(waiting, now - min(longest, 9000), patience) is (longest < math.inf)
    # Since it has answered last, where that was later.
    waiting._answered_at = now - 1
    assert not Delivery._is_away(waiting, 0.0, patience)


def test_a_failed_run_whose_record_is_kept_still_raises_its_own_error(store, store_experiment_id, tmp_path):
    (tmp_path / "mlruns").touch()
    options = tracking.DeliveryOptions(patience=0.0, undelivered_dir=tmp_path / "undelivered")
    with (
        pytest.raises(ValueError, match="a bug"),
        tracking.start_run(store_experiment_id, "n", {}, options=options) as run,
    ):
        raise ValueError("a bug")
    operations = load_record(tmp_path / "undelivered" / run.run_id)["operations"]
    assert [operation.get("status") for operation in operations] == [None, "FAILED"]


def test_a_record_holds_no_credentials(tmp_path):
    mlflow.set_tracking_uri(f"http://ada:sesame@127.0.0.1:{find_free_port()}")
    try:
        sender = Delivery("a1b2", "1", tmp_path)
        sender.put({"kind": "end", "status": "FINISHED", "end_time": 1000})
        folder = sender.close(0.0)
    finally:
        mlflow.set_tracking_uri(None)
    assert "sesame" not in (folder / "record.json").read_text()
    assert "http://***@127.0.0.1" in load_record(folder)["tracking_uri"]


def test_a_run_is_heard_of_while_it_has_nothing_to_say(store, store_experiment_id, monkeypatch):
    monkeypatch.setattr(delivery, "HEARTBEAT_SECONDS", 0.1)
    with tracking.start_run(store_experiment_id, "n", {}) as run:
        first = store.get_run(run.run_id).data.tags[names.HEARTBEAT_TAG]
        wait_until(lambda: store.get_run(run.run_id).data.tags[names.HEARTBEAT_TAG] != first, seconds=20)
        heard = int(store.get_run(run.run_id).data.tags[names.HEARTBEAT_TAG])
    assert abs(heard - time.time()) < 60


# Records on disk


def test_an_operation_that_nobody_knows_is_told(store, store_experiment_id, tmp_path):
    run_id = store.create_run(store_experiment_id).info.run_id
    with pytest.raises(TrackingError, match=f"run {run_id}: unknown operation teleport in its record"):
        deliver(store, run_id, store_experiment_id, {"kind": "teleport"}, tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"run_id": "a1b2"}', "\x00\x00"], ids=lambda content: repr(content)
)
def test_a_damaged_record_is_told_with_its_folder(store, tmp_path, content):
    folder = tmp_path / "undelivered" / "a1b2"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(content)
    with pytest.raises(TrackingError, match=rf"^{folder}: no record of a run \("):
        deliver_record(store, folder)
    assert (folder / "record.json").exists()


def test_records_are_listed_oldest_first_and_unfinished_ones_are_none(tmp_path):
    for name, age in {"young": 10, "old": 30, "middle": 20, "broken.part": 40}.items():
        file = tmp_path / name / "record.json"
        file.parent.mkdir()
        file.touch()
        os.utime(file, (1000 - age, 1000 - age))
    (tmp_path / "empty").mkdir()
    assert [folder.name for folder in list_records(tmp_path)] == ["old", "middle", "young"]
    assert list_records(tmp_path / "nowhere") == []


def test_an_interrupt_while_the_end_waits_for_the_server_keeps_the_record(server, experiment_id, tmp_path, monkeypatch):
    options = tracking.DeliveryOptions(patience=60.0, undelivered_dir=tmp_path / "undelivered")

    def interrupt(timeout):
        raise KeyboardInterrupt

    def lose_the_server(run):
        server.kill()
        run.log_epoch(1, {"loss": 0.5})
        # Where Ctrl-C arrives; a real signal may also arrive elsewhere.
        monkeypatch.setattr(run._delivery._thread, "join", interrupt)

    with pytest.raises(KeyboardInterrupt), tracking.start_run(experiment_id, "n", {}, options=options) as run:
        lose_the_server(run)
    operations = load_record(tmp_path / "undelivered" / run.run_id)["operations"]
    assert [operation.get("status") for operation in operations] == [None, "FINISHED"]


def test_the_record_of_a_run_that_another_process_took_up_is_dropped(store, store_experiment_id, tmp_path, caplog):
    (tmp_path / "mlruns").touch()
    options = tracking.DeliveryOptions(patience=0.0, undelivered_dir=tmp_path / "undelivered")
    with (
        pytest.raises(UndeliveredError),
        tracking.start_run(store_experiment_id, "n", {}, options=options) as run,
    ):
        run.log_artifacts(texts={"a.txt": "a"})
    store.set_tag(run.run_id, names.PROCESS_TAG, DEAD_PROCESS)
    store.set_terminated(run.run_id, "KILLED")
    assert deliver_record(store, tmp_path / "undelivered" / run.run_id) == run.run_id
    assert "another process has gone on with it since" in caplog.text
    assert store.get_run(run.run_id).info.status == "KILLED"
    assert list((tmp_path / "undelivered").iterdir()) == []
