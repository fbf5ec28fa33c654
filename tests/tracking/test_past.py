"""What is read from a real store."""

from __future__ import annotations

import os
import time

import mlflow
import pytest
from sqlalchemy import Engine, event

from mnist_flow import tracking
from mnist_flow.errors import TrackingError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import names, past
from support import DEAD_PROCESS, PROCESS_ELSEWHERE

PROCESSES = {"here": describe_process(), "dead": DEAD_PROCESS, "elsewhere": PROCESS_ELSEWHERE, "unknown": None}


@pytest.fixture
def experiment_id(store):
    return tracking.get_or_create_experiment("x")


@pytest.fixture
def add_run(store, experiment_id):
    """Create a run with a status and tags; returns its id."""

    def add(status="RUNNING", process=None, silent_for=0, kind="train", params=None, metrics=None, **tags):
        written = {tracking.KIND_TAG: kind, **{f"mnist_flow.{name}": text for name, text in tags.items()}}
        if process is not None:
            written |= {names.PROCESS_TAG: process, names.HEARTBEAT_TAG: str(int(time.time() - silent_for))}
        run_id = store.create_run(experiment_id, tags=written).info.run_id
        for key, value in (params or {}).items():
            store.log_param(run_id, key, value)
        for key, value in (metrics or {}).items():
            store.log_metric(run_id, key, value)
        if status != "RUNNING":
            store.set_terminated(run_id, status)
        return run_id

    return add


# Past runs


@pytest.mark.parametrize(
    ("status", "process", "silent_for", "state"),
    [
        ("FINISHED", "dead", 0, "finished"),
        ("FINISHED", "unknown", 0, "finished"),
        ("KILLED", "here", 0, "interrupted"),
        ("FAILED", "elsewhere", 0, "interrupted"),
        ("RUNNING", "dead", 0, "interrupted"),
        ("RUNNING", "here", 10_000, "alive"),
        ("RUNNING", "elsewhere", 500, "alive"),
        ("RUNNING", "elsewhere", 700, "interrupted"),
        ("RUNNING", "unknown", 0, "alive"),
    ],
)
def test_the_state_of_a_past_run(experiment_id, add_run, status, process, silent_for, state):
    run_id = add_run(status, PROCESSES[process], silent_for)
    (past,) = tracking.fetch_past_runs(experiment_id, stale_after=600.0)
    assert (past.run_id, past.state) == (run_id, state)


def test_another_process_of_this_machine_is_alive_until_it_dies(experiment_id, add_run, other_process):
    process, name = other_process
    add_run("RUNNING", name, silent_for=10_000)
    assert [past.state for past in tracking.fetch_past_runs(experiment_id)] == ["alive"]
    process.kill()
    process.wait()
    assert [past.state for past in tracking.fetch_past_runs(experiment_id)] == ["interrupted"]


def test_the_silence_that_a_run_of_another_machine_may_keep_can_be_chosen(experiment_id, add_run):
    add_run("RUNNING", PROCESS_ELSEWHERE, silent_for=700)
    assert [past.state for past in tracking.fetch_past_runs(experiment_id, stale_after=800.0)] == ["alive"]


def test_what_is_known_of_a_past_run(store, experiment_id, add_run):
    run_id = add_run(
        "FINISHED",
        DEAD_PROCESS,
        params={"epochs": "2"},
        metrics={"loss": 0.5},
        fingerprint="F",
        recipe="R",
        code="C",
        data="D",
    )
    store.set_tag(run_id, names.PARENT_TAG, "P")
    store.update_run(run_id, status="FINISHED")
    info = store.get_run(run_id).info
    store.set_terminated(run_id, "FINISHED", info.start_time + 2500)
    assert tracking.fetch_run(run_id) == tracking.PastRun(
        run_id=run_id,
        state="finished",
        fingerprint="F",
        recipe="R",
        parent_run_id="P",
        code="C",
        process=DEAD_PROCESS,
        data_digest="D",
        end_time=info.start_time + 2500,
        seconds=2.5,
        metrics={"loss": 0.5},
        params={"epochs": "2"},
        experiment_id=experiment_id,
    )


def test_a_run_older_than_the_tags_has_none_of_them(experiment_id, add_run):
    add_run("FINISHED")
    (past,) = tracking.fetch_past_runs(experiment_id)
    assert (past.fingerprint, past.recipe, past.code, past.data_digest, past.parent_run_id) == ("", "", "", "", "")


def test_past_runs_are_filtered_and_oldest_first(experiment_id, add_run):
    first = add_run("FINISHED", fingerprint="F", params={"model.name": "mlp", "data.name": "digits"})
    second = add_run("KILLED", fingerprint="G", params={"model.name": "cnn", "data.name": "digits"})
    third = add_run("FINISHED", fingerprint="F", params={"model.name": "cnn", "data.name": "mnist"})
    add_run("FINISHED", kind="sweep", fingerprint="F", params={"model.name": "mlp"})

    def fetch(*arguments):
        return [past.run_id for past in tracking.fetch_past_runs(experiment_id, *arguments)]

    assert fetch() == [first, second, third]
    assert fetch("F") == [first, third]
    assert fetch(None, None, {"data.name": "digits"}) == [first, second]
    assert fetch(None, None, {"data.name": "digits", "model.name": "cnn"}) == [second]
    assert fetch("H") == []


def test_a_deleted_run_is_no_past_run(store, experiment_id, add_run):
    store.delete_run(add_run("FINISHED"))
    assert tracking.fetch_past_runs(experiment_id) == []


@pytest.fixture
def requests_made():
    """The queries that a store gets for runs; one a page, and a few for what belongs to its runs."""
    made = []

    def note(connection, cursor, statement, *rest):
        made.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield made
    event.remove(Engine, "before_cursor_execute", note)


def test_of_many_finished_runs_the_newest_come_oldest_first(store, experiment_id):
    for number in range(4):
        run_id = store.create_run(experiment_id, number + 1, {tracking.KIND_TAG: "train"}).info.run_id
        store.log_param(run_id, "seed", number)
        store.set_terminated(run_id, "FAILED" if number == 2 else "FINISHED")
    found = tracking.fetch_past_runs(experiment_id, newest_finished=2)
    assert [run.params["seed"] for run in found] == ["1", "3"]


def add_runs_by_sql(store, experiment_id, n):
    """As many finished runs as a long sweep leaves; through the client they would take minutes."""
    engine = mlflow.tracking._tracking_service.utils._get_store().engine
    runs = [
        (f"{number:032x}", f"run {number}", experiment_id, number, 1000 + number, f"mlruns/{number}")
        for number in range(n)
    ]
    tags = [
        (key, value, f"{number:032x}")
        for number in range(n)
        for key, value in {tracking.KIND_TAG: "train", tracking.FINGERPRINT_TAG: f"f{number}"}.items()
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO runs (run_uuid, name, experiment_id, start_time, end_time, artifact_uri, status, "
            "lifecycle_stage, source_type, user_id) VALUES (?, ?, ?, ?, ?, ?, 'FINISHED', 'active', 'LOCAL', 'ada')",
            runs,
        )
        connection.exec_driver_sql('INSERT INTO tags ("key", value, run_uuid) VALUES (?, ?, ?)', tags)


def test_a_thousand_runs_take_a_few_requests(store, experiment_id, monkeypatch):
    add_runs_by_sql(store, experiment_id, 1050)
    pages = []
    search_runs = mlflow.MlflowClient.search_runs

    def count(self, *arguments, **options):
        page = search_runs(self, *arguments, **options)
        pages.append(len(page))
        return page

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "search_runs", count)
        patched.setattr(past, "find_database", lambda: None)
        of_server = tracking.fetch_past_runs(experiment_id)
    assert [run.fingerprint for run in of_server] == [f"f{number}" for number in range(1050)]
    assert pages == [1000, 50]
    assert tracking.fetch_past_runs(experiment_id) == of_server


def test_the_server_does_the_filtering(store, experiment_id, requests_made):
    add_runs_by_sql(store, experiment_id, 1050)
    requests_made.clear()
    (past,) = tracking.fetch_past_runs(experiment_id, "f1049")
    assert past.run_id == f"{1049:032x}"
    assert len(requests_made) < 20


# One run


def test_a_run_that_is_not_there_is_one_line(store):
    with pytest.raises(TrackingError, match=r"^run_id=nowhere: there is no such run at sqlite:") as caught:
        tracking.fetch_run("nowhere")
    assert "\n" not in str(caught.value)


def test_a_sweep_is_no_training_run(add_run):
    run_id = add_run("FINISHED", kind="sweep")
    with pytest.raises(TrackingError, match=f"run_id={run_id}: is no training run"):
        tracking.fetch_run(run_id)


# Tables of runs


def test_only_finished_training_runs_are_fetched(store, experiment_id, add_run):
    with tracking.start_run(experiment_id, "wanted", {tracking.KIND_TAG: "train"}) as wanted:
        wanted.log_params({"reg": 1e-5, "model.name": "mlp"})
    with tracking.start_run(experiment_id, "sweep", {tracking.KIND_TAG: "sweep"}):
        pass
    for status in ("RUNNING", "KILLED", "FAILED"):
        add_run(status)
    runs = tracking.fetch_runs([experiment_id])
    assert [run.run_id for run in runs] == [wanted.run_id]
    assert runs[0].params["reg"] == "1e-05"
    assert tracking.fetch_runs([experiment_id], "params.`model.name` = 'cnn'") == []
    with pytest.raises(TrackingError):
        tracking.fetch_runs([experiment_id], "nonsense ==")


# Runs whose process is gone


@pytest.mark.parametrize("kind", ["train", "sweep"])
def test_a_run_whose_process_is_gone_is_killed_once(store, experiment_id, add_run, caplog, kind):
    run_id = add_run("RUNNING", DEAD_PROCESS, kind=kind)
    for _ in range(2):
        tracking.close_stale_runs(experiment_id, 600.0)
    assert store.get_run(run_id).info.status == "KILLED"
    assert caplog.messages == [f"marked KILLED, since their processes are gone: {kind} run: 1"]


def test_a_run_of_another_machine_is_killed_after_a_long_silence(store, experiment_id, add_run):
    silent = add_run("RUNNING", PROCESS_ELSEWHERE, silent_for=700)
    heard_of = add_run("RUNNING", PROCESS_ELSEWHERE, silent_for=500)
    tracking.close_stale_runs(experiment_id, 600.0)
    assert [store.get_run(run_id).info.status for run_id in (silent, heard_of)] == ["KILLED", "RUNNING"]


def test_runs_that_go_on_or_are_not_ours_to_judge_stay(store, experiment_id, add_run, other_process):
    _, name = other_process
    running = [
        add_run("RUNNING", describe_process(), silent_for=10_000),
        add_run("RUNNING", name, silent_for=10_000, kind="sweep"),
        add_run("RUNNING", None),
    ]
    finished = add_run("FINISHED", DEAD_PROCESS)
    other_experiment = tracking.get_or_create_experiment("other")
    elsewhere = store.create_run(other_experiment, tags={names.PROCESS_TAG: DEAD_PROCESS}).info.run_id
    tracking.close_stale_runs(experiment_id, 600.0)
    statuses = [store.get_run(run_id).info.status for run_id in (*running, finished, elsewhere)]
    assert statuses == ["RUNNING"] * 3 + ["FINISHED", "RUNNING"]


def test_a_process_of_this_machine_is_known_to_be_gone_in_whatever_experiment_its_run_is(store, experiment_id, caplog):
    tags = {names.PROCESS_TAG: DEAD_PROCESS, tracking.KIND_TAG: "evaluation"}
    other_id = tracking.get_or_create_experiment("other")
    run_id = store.create_run(other_id, tags=tags).info.run_id
    # Its owner may wait for longer than we do.
    silent = {names.PROCESS_TAG: PROCESS_ELSEWHERE, names.HEARTBEAT_TAG: "0"}
    elsewhere = store.create_run(other_id, tags=silent).info.run_id
    tracking.close_dead_runs()
    assert [store.get_run(one).info.status for one in (run_id, elsewhere)] == ["KILLED", "RUNNING"]
    assert "marked KILLED, since their processes are gone: evaluation run: 1" in caplog.text


def test_a_dead_run_stays_as_it_is_in_a_store_that_can_only_be_read(store, experiment_id, monkeypatch, caplog):
    run_id = store.create_run(experiment_id, tags={names.PROCESS_TAG: DEAD_PROCESS}).info.run_id
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    tracking.close_dead_runs()
    assert store.get_run(run_id).info.status == "RUNNING"
    assert caplog.text == ""


# Children of a sweep


def test_the_children_of_a_sweep_that_run_and_that_ended(store, experiment_id, add_run):
    children = {status: add_run(status) for status in ("RUNNING", "FINISHED", "FAILED", "KILLED")}
    for run_id in children.values():
        store.set_tag(run_id, names.PARENT_TAG, "sweep")
    add_run("FINISHED")
    early = add_run("RUNNING")
    store.set_tag(early, names.PARENT_TAG, "sweep")
    store.set_terminated(early, "FINISHED", 5000)
    ended = tracking.fetch_ended_children(experiment_id, "sweep", 5001)
    assert {run.info.run_id for run in ended} == set(children.values()) - {children["RUNNING"]}
    late = add_run("RUNNING")
    store.set_tag(late, names.PARENT_TAG, "sweep")
    store.set_terminated(late, "FINISHED", 2**42)
    ended = tracking.fetch_ended_children(experiment_id, "sweep", 5000)
    assert len(ended) == 5
    assert [ended[0].info.run_id, ended[-1].info.run_id] == [early, late]
    assert [run.info.end_time for run in ended] == sorted(run.info.end_time for run in ended)
    (running,) = tracking.fetch_running_children(experiment_id, "sweep")
    assert running.info.run_id == children["RUNNING"]


def test_what_was_typed_for_a_sweep_is_read_also_where_it_was_logged_as_the_description(store, experiment_id):
    old = {"mnist_flow.kind": "sweep", "mlflow.note.content": "reg=0,1e-4 data=digits"}
    new = {"mnist_flow.kind": "sweep", "mnist_flow.overrides": "reg=0,1", "mlflow.note.content": "**reg=0**: 0.97"}
    for tags in (old, new):
        store.create_run(experiment_id, tags=tags)
    assert [sweep.overrides for sweep in tracking.fetch_sweeps([experiment_id])] == [
        "reg=0,1e-4 data=digits",
        "reg=0,1",
    ]
