"""The parent runs of sweeps, in a real store."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import mlflow
import pytest

from mnist_flow import tracking
from mnist_flow.errors import RunError, TrackingError, UserError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import names, sweeps
from support import DEAD_PROCESS, PROCESS_ELSEWHERE


@pytest.fixture
def experiment_id(store):
    return tracking.get_or_create_experiment("x")


@pytest.fixture
def open_sweep(experiment_id):
    """Open a sweep; those that are still open end with the test."""
    opened = []

    def open_one(fingerprint="F", overrides=("reg=0,1",), resume=True):
        options = tracking.DeliveryOptions(patience=0.0, undelivered_dir=Path("undelivered"))
        sweep = tracking.open_sweep(
            experiment_id,
            fingerprint,
            list(overrides),
            name=f"sweep {' '.join(overrides)}",
            resume=resume,
            stale_after=600.0,
            options=options,
        )
        opened.append(sweep)
        return sweep

    yield open_one
    for sweep in opened:
        sweep.end("KILLED")


def add_child(store, experiment_id, parent, process=None, silent_for=0):
    tags = {names.KIND_TAG: "train", names.PARENT_TAG: parent}
    if process is not None:
        tags |= {names.PROCESS_TAG: process, names.HEARTBEAT_TAG: str(int(time.time() - silent_for))}
    return store.create_run(experiment_id, tags=tags).info.run_id


def test_a_sweep_is_a_run_that_says_what_it_is(store, open_sweep):
    run = store.get_run(open_sweep(overrides=["reg=0,1", "tracking.uri='http://ada:sesame@example.org'"]).run_id)
    summary = "reg=0,1 tracking.uri='http://***@example.org'"
    assert (run.info.status, run.info.run_name) == ("RUNNING", f"sweep {summary}")
    assert run.data.tags[names.KIND_TAG] == "sweep"
    assert run.data.tags[names.FINGERPRINT_TAG] == "F"
    assert run.data.tags[names.OVERRIDES_TAG] == summary
    assert run.data.tags[names.PROCESS_TAG] == describe_process()


def test_the_name_of_a_long_sweep_is_cut(store, open_sweep):
    run = store.get_run(open_sweep(overrides=["reg=" + ",".join(map(str, range(500)))]).run_id)
    assert len(run.info.run_name) == 200


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_sweep_ends_as_it_is_told(store, open_sweep, status):
    sweep = open_sweep()
    sweep.end(status)
    assert store.get_run(sweep.run_id).info.status == status


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "RUNNING"])
def test_the_same_sweep_goes_on_in_its_run(store, experiment_id, open_sweep, status):
    first = open_sweep(overrides=["reg=0,1"])
    first.log_metrics({"jobs": 2})
    first.end(status if status != "RUNNING" else "KILLED")
    if status == "RUNNING":
        store.update_run(first.run_id, status="RUNNING")
        store.set_tag(first.run_id, names.PROCESS_TAG, DEAD_PROCESS)
    second = open_sweep(overrides=["reg=1,0"])
    assert second.run_id == first.run_id
    assert second.count_logged("jobs") == 1
    run = store.get_run(second.run_id)
    assert (run.info.status, run.info.run_name) == ("RUNNING", "sweep reg=1,0")
    assert run.data.tags[names.PROCESS_TAG] == describe_process()
    assert len(store.search_runs([experiment_id])) == 1


def test_the_last_of_several_goes_on(open_sweep):
    first = open_sweep()
    first.end("FINISHED")
    time.sleep(0.002)
    second = open_sweep(resume=False)
    second.end("FINISHED")
    assert first.run_id != second.run_id
    assert open_sweep().run_id == second.run_id


def test_a_sweep_that_finds_no_room_for_its_files_is_not_left_running(
    store, experiment_id, open_sweep, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match=r"its artifacts can't be written to .*nowhere"):
        open_sweep()
    assert [run.info.status for run in store.search_runs([experiment_id])] == ["FAILED"]


def test_a_sweep_that_is_interrupted_while_its_run_is_made_is_not_left_running(
    store, experiment_id, open_sweep, monkeypatch, ctrl_c_raises
):
    create_run = mlflow.MlflowClient.create_run

    def create_and_interrupt(*arguments, **options):
        created = create_run(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)
        return created

    monkeypatch.setattr(mlflow.MlflowClient, "create_run", create_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_sweep()
    assert [run.info.status for run in store.search_runs([experiment_id])] == ["KILLED"]


@pytest.mark.parametrize(
    ("fingerprint", "resume"), [("G", True), ("F", False), (None, True)], ids=["other jobs", "anew", "no known jobs"]
)
def test_another_sweep_has_a_run_of_its_own(open_sweep, fingerprint, resume):
    first = open_sweep("F" if fingerprint else None)
    first.end("FINISHED")
    assert open_sweep(fingerprint, resume=resume).run_id != first.run_id


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_sweep_that_is_running_is_not_begun_twice(store, open_sweep, elsewhere):
    first = open_sweep()
    named = f"{os.getpid()} on {socket.gethostname()}"
    if elsewhere:
        store.set_tag(first.run_id, names.PROCESS_TAG, PROCESS_ELSEWHERE)
        named = "4242 on elsewhere"
    with pytest.raises(
        UserError, match=rf"this sweep is running already, in process {named} as run {first.run_id}; wait for it, or"
    ):
        open_sweep()
    assert open_sweep(resume=False).run_id != first.run_id


def test_a_sweep_of_another_machine_that_is_silent_for_long_goes_on_here(store, open_sweep):
    first = open_sweep()
    first.end("KILLED")
    store.update_run(first.run_id, status="RUNNING")
    store.set_tag(first.run_id, names.PROCESS_TAG, PROCESS_ELSEWHERE)
    store.set_tag(first.run_id, names.HEARTBEAT_TAG, str(int(time.time() - 700)))
    assert open_sweep().run_id == first.run_id


def test_the_run_that_mlflow_created_is_adopted(store, experiment_id, open_sweep, monkeypatch):
    created = store.create_run(experiment_id, tags={"mlflow.project.entryPoint": "main"}).info.run_id
    store.log_param(created, "reg", "0,1")
    monkeypatch.setenv("MLFLOW_RUN_ID", created)
    assert open_sweep().run_id == created
    run = store.get_run(created)
    assert run.info.run_name == "sweep reg=0,1"
    assert (run.data.tags[names.KIND_TAG], run.data.tags[names.FINGERPRINT_TAG]) == ("sweep", "F")
    # Not for the jobs of the sweep.
    assert not tracking.is_project_run()


@pytest.mark.parametrize(("status", "cut_off"), [("FINISHED", False), ("FAILED", True), ("KILLED", True)])
def test_a_sweep_that_did_not_finish_was_cut_off(experiment_id, open_sweep, status, cut_off):
    open_sweep().end(status)
    assert tracking.find_sweep(experiment_id, "F", stale_after=600).was_cut_off is cut_off


def test_a_sweep_that_lives_or_was_never_begun_was_not_cut_off(experiment_id, open_sweep):
    open_sweep()
    assert not tracking.find_sweep(experiment_id, "F", stale_after=600).was_cut_off
    for fingerprint in ("another", None):
        assert tracking.find_sweep(experiment_id, fingerprint, stale_after=600) is None


def test_the_terms_of_a_search_are_no_table(store, open_sweep):
    run_id = open_sweep().run_id
    store.log_dict(run_id, {"columns": ["seed", "n"], "data": [[0, 3], [1, 2]]}, "sweep/trials.json")
    store.log_dict(run_id, {"objectives": ["val_accuracy"], "replicates": 1, "space": {}}, "sweep/search.json")
    store.log_text(run_id, "reg: 0.1", "sweep/best.yaml")
    tables = tracking.fetch_sweep_tables(run_id)
    assert list(tables) == ["trials"]
    assert tables["trials"].to_dict("list") == {"seed": [0, 1], "n": [3, 2]}


@pytest.mark.parametrize("text", ['{"columns": ["seed"]', "[1]", '{"columns": ["seed", "n"], "data": [[0]]}'])
def test_a_damaged_table_of_a_sweep_is_told(store, open_sweep, text):
    run_id = open_sweep().run_id
    store.log_text(run_id, text, "sweep/trials.json")
    with pytest.raises(TrackingError, match=rf"^run_id={run_id}: its artifact sweep/trials.json is damaged; write"):
        tracking.fetch_sweep_tables(run_id)


def test_children_whose_process_is_gone_are_killed(store, experiment_id, open_sweep):
    parent = open_sweep()
    gone = [add_child(store, experiment_id, parent.run_id, DEAD_PROCESS) for _ in range(2)]
    finished = add_child(store, experiment_id, parent.run_id, DEAD_PROCESS)
    store.set_terminated(finished)
    other = add_child(store, experiment_id, "another sweep", DEAD_PROCESS)
    assert tracking.close_abandoned_children(parent, 0.0, stale_after=600) == (2, 0)
    statuses = [store.get_run(run_id).info.status for run_id in (*gone, finished, other)]
    assert statuses == ["KILLED", "KILLED", "FINISHED", "RUNNING"]


def test_children_that_go_on_elsewhere_stay_and_are_counted(store, experiment_id, open_sweep, monkeypatch):
    monkeypatch.setattr(sweeps, "_GRACE", 0.1)
    parent = open_sweep()
    gone = add_child(store, experiment_id, parent.run_id, DEAD_PROCESS)
    add_child(store, experiment_id, parent.run_id, PROCESS_ELSEWHERE)
    add_child(store, experiment_id, parent.run_id, PROCESS_ELSEWHERE, silent_for=10_000)
    add_child(store, experiment_id, parent.run_id)
    assert tracking.close_abandoned_children(parent, 0.0, stale_after=600) == (2, 2)
    assert store.get_run(gone).info.status == "KILLED"
    assert len(tracking.fetch_running_children(experiment_id, parent.run_id)) == 2


def test_a_sweep_without_children_ends_at_once(open_sweep):
    start = time.monotonic()
    assert tracking.close_abandoned_children(open_sweep(), 0.0, stale_after=600) == (0, 0)
    assert time.monotonic() - start < 5
