"""python -m mnist_flow.sync in a subprocess, with what real runs kept."""

from __future__ import annotations

import mlflow
import pytest

from mnist_flow import tracking
from mnist_flow.errors import RunError
from mnist_flow.runs.undelivered import deliver_records
from mnist_flow.tracking import names
from mnist_flow.tracking.delivery import Delivery
from support import DEAD_PROCESS, find_free_port

pytestmark = pytest.mark.usefixtures("output")

SYNC = ("-m", "mnist_flow.sync")


@pytest.fixture
def kept(store, tmp_path, monkeypatch):
    """Ids of two runs of the store whose server was away, and its URI; their records are in the folder undelivered."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    experiment_id = tracking.get_or_create_experiment("x")
    ids = [store.create_run(experiment_id).info.run_id for _ in range(2)]
    uri = mlflow.get_tracking_uri()
    away = f"http://ada:sesame@127.0.0.1:{find_free_port()}"
    mlflow.set_tracking_uri(away)
    for run_id in ids:
        sender = Delivery(run_id, experiment_id, tmp_path / "undelivered")
        sender.put({"kind": "batch", "metrics": [["loss", 0.5, 1000, 1]]})
        sender.put({"kind": "end", "status": "FINISHED", "end_time": 2000})
        sender.close(patience=0.0)
    mlflow.set_tracking_uri(uri)
    return ids, away


def test_nothing_to_deliver(tmp_path, run_command):
    done = run_command(tmp_path, *SYNC)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "tracking.undelivered_dir=undelivered: nothing to deliver\n",
        "",
    )


def test_records_are_delivered_and_their_folder_goes(store, tmp_path, run_command, kept):
    ids, _ = kept
    done = run_command(tmp_path, *SYNC, f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(f"delivered run {run_id}" for run_id in ids)
    for run_id in ids:
        assert store.get_run(run_id).info.status == "FINISHED"
        assert [point.step for point in store.get_metric_history(run_id, "loss")] == [1]
    assert not (tmp_path / "undelivered").exists()
    assert "nothing to deliver" in run_command(tmp_path, *SYNC).stdout


def test_a_server_that_is_away_is_one_line_status_1_and_the_records_stay(store, tmp_path, run_command, kept):
    ids, away = kept
    done = run_command(tmp_path, *SYNC, f"tracking.uri='{away}'", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: not delivered, and still kept: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.count("does not answer") == 2
    assert "sesame" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "undelivered").iterdir()) == sorted(ids)


def test_a_damaged_record_does_not_stop_the_others(store, tmp_path, run_command, kept):
    ids, _ = kept
    (tmp_path / "undelivered" / ids[0] / "record.json").write_text("{")
    done = run_command(tmp_path, *SYNC, f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert (done.returncode, done.stdout) == (1, f"delivered run {ids[1]}\n")
    assert f"undelivered/{ids[0]}: no record of a run" in done.stderr
    assert [path.name for path in (tmp_path / "undelivered").iterdir()] == [ids[0]]


def test_the_variable_of_mlflow_wins_over_the_config(store, tmp_path, run_command, kept):
    ids, away = kept
    store_uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = run_command(tmp_path, *SYNC, f"tracking.uri='{away}'", MLFLOW_TRACKING_URI=store_uri)
    assert done.returncode == 0, done.stderr
    assert {store.get_run(run_id).info.status for run_id in ids} == {"FINISHED"}


def test_bad_input_is_one_line_status_2(tmp_path, run_command):
    done = run_command(tmp_path, *SYNC, "tracking.undelivered=x")
    assert done.returncode == 2
    assert "did you mean 'tracking.undelivered_dir'" in done.stderr
    assert done.stderr.count("\n") == 1


# In this process


def test_in_this_process_records_are_delivered_and_counted(store, kept, compose_config, capsys, tmp_path):
    ids, _ = kept
    here = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    dead = store.create_run("1", tags={names.PROCESS_TAG: DEAD_PROCESS}).info.run_id
    assert deliver_records(compose_config(here, config_name="sync")) == 2
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"delivered run {run_id}" for run_id in ids)
    assert {store.get_run(run_id).info.status for run_id in ids} == {"FINISHED"}
    assert store.get_run(dead).info.status == "KILLED"
    assert deliver_records(compose_config(here, config_name="sync")) == 0
    assert capsys.readouterr().out == "tracking.undelivered_dir=undelivered: nothing to deliver\n"


def test_in_this_process_a_record_that_stays_is_named_with_its_reason(store, kept, compose_config, capsys, tmp_path):
    ids, _ = kept
    (tmp_path / "undelivered" / ids[0] / "record.json").write_text("{")
    here = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(
        RunError, match=f"^not delivered, and still kept: undelivered/{ids[0]}: undelivered/{ids[0]}: no"
    ):
        deliver_records(compose_config(here, config_name="sync"))
    assert capsys.readouterr().out == f"delivered run {ids[1]}\n"
