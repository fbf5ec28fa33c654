"""Runs in a real store: begun, taken up again, and ended truthfully."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from sqlalchemy import Engine, event

from mnist_flow import tracking
from mnist_flow.data.dataset import Images
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import BusyError, PrunedError, RunError, TrackingError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import names
from support import DEAD_PROCESS, PROCESS_ELSEWHERE, wait_until


@pytest.fixture
def experiment_id(store):
    return tracking.get_or_create_experiment("x")


def read(store, run, path, folder):
    return Path(store.download_artifacts(run.run_id, path, str(folder))).read_text(encoding="utf-8")


def steps(store, run, metric):
    return [(point.step, point.value) for point in store.get_metric_history(run.run_id, metric)]


# Beginning and end


def test_a_run_is_running_and_then_finished(store, experiment_id):
    with tracking.start_run(experiment_id, "reg=0 mlp", {tracking.KIND_TAG: "train"}, parent_run_id="abc") as run:
        begun = store.get_run(run.run_id)
        assert (begun.info.status, begun.info.run_name) == ("RUNNING", "reg=0 mlp")
        assert begun.data.tags[tracking.KIND_TAG] == "train"
        assert begun.data.tags["mlflow.parentRunId"] == "abc"
        assert begun.data.tags[names.PROCESS_TAG] == describe_process()
        assert abs(float(begun.data.tags[names.HEARTBEAT_TAG]) - time.time()) < 60
    ended = store.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert ended.info.end_time >= ended.info.start_time
    assert not Path("undelivered").exists()


def log_and_raise(run, error):
    run.log_params({"reg": 0.0, "model.name": "mlp"})
    run.log_epoch(1, {"loss": 0.5})
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_is_killed(store, experiment_id, error):
    with pytest.raises(error), tracking.start_run(experiment_id, "name", {}) as run:
        log_and_raise(run, error)
    assert store.get_run(run.run_id).info.status == "KILLED"
    assert steps(store, run, "loss") == [(1, 0.5)]


def test_a_pruned_run_is_killed_and_keeps_after_which_epoch_and_why(store, experiment_id):
    with pytest.raises(PrunedError), tracking.start_run(experiment_id, "name", {}) as run:
        raise PrunedError(3, "behind that of other trials")
    ended = store.get_run(run.run_id)
    assert ended.info.status == "KILLED"
    assert (ended.data.tags[names.PRUNED_TAG], ended.data.tags[names.PRUNED_BECAUSE_TAG]) == (
        "3",
        "behind that of other trials",
    )


def test_a_failed_run_keeps_its_traceback_without_credentials(store, experiment_id, tmp_path):
    with pytest.raises(ValueError, match="sesame"), tracking.start_run(experiment_id, "name", {}) as run:
        raise ValueError("no answer from http://ada:sesame@example.org")
    assert store.get_run(run.run_id).info.status == "FAILED"
    assert "ValueError: no answer from http://***@example.org" in read(store, run, "traceback.txt", tmp_path)


def test_a_run_leaves_no_temporary_files(store, experiment_id, tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_artifacts(texts={"a.txt": "a"})
        assert list(folder.iterdir())
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_temporary_folder(small_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    return small_disk


def test_a_run_that_fills_the_disk_is_failed_and_says_so(store, experiment_id, small_temporary_folder):
    with (
        pytest.raises(
            RunError, match=rf"its artifacts can't be written to {small_temporary_folder} \(No space left on device\)"
        ),
        tracking.start_run(experiment_id, "name", {}) as run,
    ):
        run.log_artifacts(texts={"large.txt": "x" * 100_000})
    assert store.get_run(run.run_id).info.status == "FAILED"


def test_a_run_that_finds_the_disk_full_is_failed_and_says_so(store, experiment_id, small_temporary_folder):
    def fill_disk_and_log(run):
        with pytest.raises(OSError, match="No space left"):
            (small_temporary_folder / "other.bin").write_bytes(bytes(100_000))
        run.log_artifacts(texts={"a.txt": "a" * 5000})

    with (
        pytest.raises(RunError, match=r"its artifacts can't be written to .* \(No space left on device\)"),
        tracking.start_run(experiment_id, "name", {}) as run,
    ):
        fill_disk_and_log(run)
    assert store.get_run(run.run_id).info.status == "FAILED"


def test_a_model_that_finds_the_disk_full_is_told(store, experiment_id, small_temporary_folder):
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(2000)])
    images = np.zeros((1, 20), np.float32)
    reason = rf"its artifacts can't be written to {small_temporary_folder} \(No space left on device\)"
    with pytest.raises(RunError, match=reason), tracking.start_run(experiment_id, "name", {}) as run:
        run.log_model(model, images, np.zeros((1, 2000), np.float32), own_parts={})
    assert store.get_run(run.run_id).info.status == "FAILED"


# What it logs


def test_params_are_text_without_credentials(store, experiment_id):
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_params({"reg": 1e-5, "units": [3, 4], "none": None, "uri": "http://ada:sesame@example.org"})
        run.log_params({"long": "x" * 7000})
    params = store.get_run(run.run_id).data.params
    assert len(params.pop("long")) == 6000
    assert params == {"reg": "1e-05", "units": "[3, 4]", "none": "None", "uri": "http://***@example.org"}


def test_more_params_and_metrics_than_a_request_takes(store, experiment_id):
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_params({f"p{number}": number for number in range(250)})
        run.log_metrics({f"m{number}": number for number in range(1100)})
    data = store.get_run(run.run_id).data
    assert len(data.params) == 250
    assert (len(data.metrics), data.metrics["m1099"]) == (1100, 1099.0)


def test_tags_are_set_without_credentials(store, experiment_id):
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.set_tags({"where": "http://ada:sesame@example.org"})
    assert store.get_run(run.run_id).data.tags["where"] == "http://***@example.org"


def test_each_epoch_and_each_metric_is_logged_once(store, experiment_id):
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_epoch(1, {"loss": 0.5})
        run.log_epoch(1, {"loss": 0.4, "accuracy": 0.9})
        run.log_epoch(2, {"loss": 0.3})
        run.log_metrics({"test_loss": 0.2})
        run.log_metrics({"test_loss": 0.1})
        assert (run.count_logged("loss"), run.count_logged("test_loss"), run.count_logged("other")) == (2, 1, 0)
    assert steps(store, run, "loss") == [(1, 0.5), (2, 0.3)]
    assert steps(store, run, "accuracy") == [(1, 0.9)]
    assert steps(store, run, "test_loss") == [(0, 0.2)]


def test_metrics_of_a_model_are_shown_by_the_model_too(store, experiment_id):
    model_id = store.create_logged_model(experiment_id, "model").model_id
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_metrics({"shift_accuracy": 0.5}, model_id=model_id)
        run.log_metrics({"other": 0.25})
    assert {metric.key: metric.value for metric in store.get_logged_model(model_id).metrics} == {"shift_accuracy": 0.5}


def test_files_are_logged_to_a_folder_and_drawings_are_shown_by_the_run(store, experiment_id, tmp_path):
    run_id = store.create_run(experiment_id).info.run_id
    for name in ("a.svg", "a.csv"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    tracking.log_files(run_id, [tmp_path / "a.svg", tmp_path / "a.csv"], "analysis/x")
    assert [entry.path for entry in store.list_artifacts(run_id, "analysis/x")] == [
        "analysis/x/a.csv",
        "analysis/x/a.svg",
    ]
    note = store.get_run(run_id).data.tags[tracking.NOTE_TAG]
    assert "analysis/x/a.svg" in note
    assert "a.csv" not in note


def test_artifacts_of_every_kind(store, experiment_id, tmp_path):
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_artifacts(
            figures={"curves/a.png": figure},
            records={"r.json": {"uri": "http://ada:sesame@example.org"}},
            texts={"t/deep/t.txt": "http://ada:sesame@example.org\n"},
            arrays={"p.npz": {"x": np.arange(3)}},
            tables={"t.csv": pd.DataFrame({"a": [0.1], "b": ["x"]})},
        )
    plt.close(figure)
    folder = Path(store.download_artifacts(run.run_id, "", str(tmp_path / "downloaded")))
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"curves/a.png", "r.json", "t/deep/t.txt", "p.npz", "t.csv"}
    assert (folder / "curves/a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "r.json").read_text()) == {"uri": "http://***@example.org"}
    assert (folder / "t/deep/t.txt").read_text() == "http://***@example.org\n"
    assert np.load(folder / "p.npz")["x"].tolist() == [0, 1, 2]
    assert (folder / "t.csv").read_text() == "a,b\n0.1,x\n"


def test_tables_of_several_calls_can_be_loaded_back_across_runs(store, experiment_id):
    for value in (1, 2):
        with tracking.start_run(experiment_id, "name", {}) as run:
            run.log_artifacts(tables={"tables/first.json": pd.DataFrame({"value": [value]})})
            run.log_artifacts(tables={"tables/second.json": pd.DataFrame({"value": [10 * value]})})
            run.log_artifacts(tables={"tables/second.json": pd.DataFrame({"value": [20 * value]})})
    ids = [found.info.run_id for found in store.search_runs([experiment_id])]
    mlflow.set_experiment(experiment_id=experiment_id)
    for name, values in {"first": [1, 2], "second": [20, 40]}.items():
        table = mlflow.load_table(f"tables/{name}.json", run_ids=ids, extra_columns=["run_id"])
        assert sorted(table["value"]) == values
    listed = json.loads(store.get_run(ids[0]).data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in listed] == ["tables/first.json", "tables/second.json"]


def test_the_parts_of_a_data_set_are_inputs_with_digests(store, experiment_id):
    digits = load_data_set("digits")
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_data_set(digits, {"training": digits.train, "test": digits.test})
    inputs = store.get_run(run.run_id).inputs.dataset_inputs
    assert {item.tags[0].value: (item.dataset.name, item.dataset.digest) for item in inputs} == {
        "training": ("digits_training", f"{digits.digest}-training-1437"),
        "test": ("digits_test", f"{digits.digest}-test-360"),
    }


def test_a_data_set_in_a_file_has_the_file_as_its_source(store, experiment_id, tmp_path):
    file = tmp_path / "mnist.npz"
    file.touch()
    digits = load_data_set("digits")
    part = Images(digits.test.images[:2], digits.test.labels[:2])
    with tracking.start_run(experiment_id, "name", {}) as run:
        run.log_data_set(replace(digits, name="mnist", source=str(file), train=part, test=part), {"test": part})
    (item,) = store.get_run(run.run_id).inputs.dataset_inputs
    assert str(file) in item.dataset.source


def test_jobs_that_log_a_new_data_set_at_once_all_succeed(store, experiment_id):
    digits = load_data_set("digits")
    together = threading.Barrier(2)

    def wait_for_the_other(connection, cursor, statement, *rest):
        if statement.startswith("INSERT INTO datasets"):
            together.wait(timeout=30)

    def log_training_images(_):
        with tracking.start_run(experiment_id, "name", {}) as run:
            run.log_data_set(digits, {"training": digits.train})

    event.listen(Engine, "before_cursor_execute", wait_for_the_other)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(log_training_images, range(2)))
    finally:
        event.remove(Engine, "before_cursor_execute", wait_for_the_other)
    runs = store.search_runs([experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert len({run.inputs.dataset_inputs[0].dataset.digest for run in runs}) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_system_metrics_are_logged_on_demand(store, experiment_id, monkeypatch, wanted):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    name = "system/cpu_utilization_percentage"
    with tracking.start_run(experiment_id, "name", {}, system_metrics=wanted) as run:
        if wanted:
            wait_until(lambda: name in store.get_run(run.run_id).data.metrics, seconds=30)
    assert (name in store.get_run(run.run_id).data.metrics) is wanted
    assert not [thread.name for thread in threading.enumerate() if "SystemMetricsMonitor" in thread.name]


# Taken up again


@pytest.fixture
def interrupted(store, experiment_id):
    """A run that was interrupted in its second epoch."""
    with pytest.raises(KeyboardInterrupt), tracking.start_run(experiment_id, "mine", {"kept": "1"}) as run:
        log_and_raise(run, KeyboardInterrupt)
    return run


def test_a_run_that_is_taken_up_has_each_step_once(store, experiment_id, interrupted):
    with tracking.start_run(experiment_id, "other name", {"new": "2"}, take_up=interrupted.run_id) as run:
        assert store.get_run(run.run_id).info.status == "RUNNING"
        run.log_params({"reg": 1.0, "model.name": "mlp", "epochs": 3})
        for epoch, loss in enumerate([0.5, 0.4, 0.3], start=1):
            run.log_epoch(epoch, {"loss": loss})
        assert run.count_logged("loss") == 3
    assert run.run_id == interrupted.run_id
    found = store.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "mine")
    assert steps(store, run, "loss") == [(1, 0.5), (2, 0.4), (3, 0.3)]
    assert found.data.params == {"reg": "0.0", "model.name": "mlp", "epochs": "3"}
    assert (found.data.tags["kept"], found.data.tags["new"]) == ("1", "2")
    assert len(store.search_runs([experiment_id])) == 1


def test_a_run_that_is_taken_up_keeps_the_list_of_its_tables(store, experiment_id):
    run_id = store.create_run(experiment_id).info.run_id
    store.log_table(run_id, {"value": [1]}, "tables/first.json")
    with tracking.start_run(experiment_id, "name", {}, take_up=run_id) as run:
        run.log_artifacts(tables={"tables/second.json": pd.DataFrame({"value": [2]})})
    listed = json.loads(store.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in listed] == ["tables/first.json", "tables/second.json"]


def test_a_run_that_is_taken_up_belongs_to_the_new_process(store, experiment_id, interrupted):
    store.set_tag(interrupted.run_id, names.PROCESS_TAG, DEAD_PROCESS)
    with tracking.start_run(experiment_id, "name", {}, take_up=interrupted.run_id):
        assert store.get_run(interrupted.run_id).data.tags[names.PROCESS_TAG] == describe_process()


def test_a_run_that_is_gone_can_not_be_taken_up(store, experiment_id):
    with (
        pytest.raises(TrackingError, match="nowhere"),
        tracking.start_run(experiment_id, "name", {}, take_up="nowhere"),
    ):
        pass


def test_the_run_that_mlflow_created_is_adopted_with_its_params(store, experiment_id, monkeypatch):
    created = store.create_run(experiment_id, tags={"mlflow.project.backend": "local"}, run_name="noisy-ant-1")
    store.log_param(created.info.run_id, "reg", "1e-5")
    monkeypatch.setenv("MLFLOW_RUN_ID", created.info.run_id)
    assert tracking.is_project_run()
    with tracking.start_run(experiment_id, "reg=1e-5 mlp", {tracking.KIND_TAG: "train"}) as run:
        assert not tracking.is_project_run()
        run.log_params({"reg": 1e-5, "seed": 0})
    assert run.run_id == created.info.run_id
    found = store.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "reg=1e-5 mlp")
    assert found.data.params == {"reg": "1e-5", "seed": "0"}
    assert found.data.tags["mlflow.project.backend"] == "local"
    assert found.data.tags[tracking.KIND_TAG] == "train"
    # The next job of this process is a run of its own.
    with tracking.start_run(experiment_id, "name", {}) as other:
        assert other.run_id != run.run_id


@pytest.mark.parametrize(("kind", "still_there"), [("analysis", True), ("evaluation", False)])
def test_the_run_that_mlflow_created_is_marked_and_named(store, experiment_id, monkeypatch, kind, still_there):
    assert tracking.adopt_project_run(kind) is None
    monkeypatch.setattr("sys.argv", ["/there/reproduce.py", "parts=[beyond]", "tracking.uri=http://me:word@host"])
    created = store.create_run(experiment_id, tags={"mlflow.project.entryPoint": "main"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", created)
    assert tracking.adopt_project_run(kind) == created
    assert store.get_run(created).data.tags[tracking.KIND_TAG] == kind
    assert store.get_run(created).info.run_name == "reproduce parts=[beyond] tracking.uri=http://***@host"
    assert tracking.is_project_run() == still_there
    # A second study is logged to it as well; an evaluation's runs must not adopt it.
    assert tracking.adopt_project_run(kind) == (created if still_there else None)


# Alone


def tags_of(fingerprint):
    return {tracking.KIND_TAG: "train", tracking.FINGERPRINT_TAG: fingerprint}


def _race(uri: str, experiment_id: str, barrier, results: multiprocessing.Queue, rounds: int) -> None:
    tracking.configure(uri)
    for number in range(rounds):
        barrier.wait(timeout=120)
        try:
            with tracking.start_run(experiment_id, "name", tags_of(f"f{number}"), alone_since=time.time()) as run:
                results.put((number, run.run_id, ""))
                barrier.wait(timeout=120)
        except BusyError as error:
            results.put((number, "", str(error)))
            barrier.wait(timeout=120)


def test_of_processes_that_begin_the_same_config_at_once_one_stays(store, experiment_id):
    context = multiprocessing.get_context("spawn")
    results, barrier, rounds = context.Queue(), context.Barrier(2), 4
    workers = [
        context.Process(target=_race, args=(mlflow.get_tracking_uri(), experiment_id, barrier, results, rounds))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=150) for _ in range(2 * rounds)]
    for worker in workers:
        worker.join()
    for number in range(rounds):
        (winner,) = [run_id for found, run_id, _ in told if found == number and run_id]
        (refusal,) = [text for found, _, text in told if found == number and text]
        assert refusal.startswith(f"run {winner} of process ")
        assert refusal.endswith("has the same config; resume=false trains it all the same")
        runs = store.search_runs([experiment_id], f"tags.`{tracking.FINGERPRINT_TAG}` = 'f{number}'")
        assert [(run.info.run_id, run.info.status) for run in runs] == [(winner, "FINISHED")]


@pytest.fixture
def processes():
    """Their names: one that is gone, one of another machine, and the one that started this one."""
    parent = psutil.Process(os.getppid())
    place = describe_process().split("/")[:2]
    return {
        "dead": DEAD_PROCESS,
        "elsewhere": PROCESS_ELSEWHERE,
        "parent": "/".join([*place, str(parent.pid), describe_start(parent)]),
    }


def describe_start(process):
    return Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


@pytest.mark.parametrize("process", ["elsewhere", "parent"])
def test_a_config_that_is_alive_elsewhere_is_not_begun(store, experiment_id, processes, process):
    tags = {**tags_of("f"), names.PROCESS_TAG: processes[process], names.HEARTBEAT_TAG: str(int(time.time()))}
    other = store.create_run(experiment_id, tags=tags).info.run_id
    with (
        pytest.raises(BusyError, match=f"run {other} of process "),
        tracking.start_run(experiment_id, "name", tags_of("f"), alone_since=time.time()),
    ):
        pass
    assert [run.info.run_id for run in store.search_runs([experiment_id])] == [other]


@pytest.mark.parametrize(
    ("status", "process"), [("KILLED", "dead"), ("FAILED", "dead"), ("RUNNING", "dead"), ("RUNNING", "elsewhere")]
)
def test_a_config_that_was_interrupted_elsewhere_is_begun(store, experiment_id, processes, status, process):
    tags = {**tags_of("f"), names.PROCESS_TAG: processes[process], names.HEARTBEAT_TAG: "1"}
    other = store.create_run(experiment_id, tags=tags).info.run_id
    if status != "RUNNING":
        store.set_terminated(other, status)
    with tracking.start_run(experiment_id, "name", tags_of("f"), alone_since=time.time()) as run:
        pass
    assert {found.info.run_id for found in store.search_runs([experiment_id])} == {run.run_id, other}


def test_another_config_does_not_stand_in_the_way(store, experiment_id):
    with (
        tracking.start_run(experiment_id, "name", tags_of("f"), alone_since=time.time()),
        tracking.start_run(experiment_id, "name", tags_of("g"), alone_since=time.time()),
    ):
        pass
    assert len(store.search_runs([experiment_id])) == 2


def test_who_does_not_ask_to_be_alone_is_not_hindered(store, experiment_id):
    with (
        tracking.start_run(experiment_id, "name", tags_of("f"), alone_since=time.time()),
        tracking.start_run(experiment_id, "name", tags_of("f")),
    ):
        pass
    assert len(store.search_runs([experiment_id])) == 2


def test_a_run_that_this_process_created_and_lost_is_replaced(store, experiment_id):
    """The server created it and broke down before it could say so."""
    tags = {**tags_of("f"), names.PROCESS_TAG: describe_process(), names.HEARTBEAT_TAG: str(int(time.time()))}
    lost = store.create_run(experiment_id, tags=tags).info.run_id
    with tracking.start_run(experiment_id, "name", tags_of("f"), alone_since=time.time()) as run:
        pass
    assert [found.info.run_id for found in store.search_runs([experiment_id])] == [run.run_id]
    assert store.get_run(lost).info.lifecycle_stage == "deleted"
