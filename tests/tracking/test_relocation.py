from __future__ import annotations

import sqlite3
from contextlib import closing

import mlflow
import pytest

from mnist_flow import tracking
from mnist_flow.errors import UserError
from mnist_flow.tracking.address import find_sqlite_file
from mnist_flow.tracking.relocation import move_place


@pytest.fixture
def elsewhere(store, tmp_path):
    """An experiment whose artifacts are in an address, one of it in a folder, each with a run and a model."""
    for name, place in (("cloud", "s3://bucket/x"), ("bucketful", "s3://bucketful/x"), ("disk", f"{tmp_path}/old/m")):
        experiment_id = store.create_experiment(name, place)
        run_id = store.create_run(experiment_id).info.run_id
        store.set_terminated(run_id)
        store.create_logged_model(experiment_id, "model", run_id)
    return store


def read_places(client: mlflow.MlflowClient) -> set[str]:
    experiments = client.search_experiments()
    ids = [one.experiment_id for one in experiments]
    runs, models = client.search_runs(ids), client.search_logged_models(ids)
    places = [one.artifact_location for one in (*experiments, *models)] + [run.info.artifact_uri for run in runs]
    return {place for place in places if "/mlruns/0" not in place}


def test_an_address_and_a_folder_move_to_another(elsewhere, tmp_path):
    before = read_places(elsewhere)
    shown = tracking.relocate("s3://bucket", "gs://new/", apply=False)
    assert [(one.what, one.count) for one in shown] == [("experiments", 1), ("runs", 1), ("models", 1)]
    assert read_places(elsewhere) == before
    assert tracking.relocate("s3://bucket", "gs://new/", apply=True) == shown
    # What only begins with the same letters stays.
    assert read_places(elsewhere) == {place.replace("s3://bucket/", "gs://new/") for place in before}
    new = tmp_path / "new (1) a%20b"
    new.mkdir()
    tracking.relocate(f"{tmp_path}/old", str(new), apply=True)
    moved = read_places(elsewhere)
    assert not any(f"{tmp_path}/old" in place for place in moved)
    assert f"{new.as_uri()}/m" in moved


def test_a_registered_model_of_an_older_mlflow_has_one_place_and_that_moves(elsewhere):
    elsewhere.create_registered_model("best")
    elsewhere.create_model_version("best", "s3://bucket/x/model")
    with closing(sqlite3.connect(find_sqlite_file(mlflow.get_tracking_uri()))) as database, database:
        database.execute("UPDATE model_versions SET storage_location = NULL")
    moves = tracking.relocate("s3://bucket", "gs://new", apply=True)
    assert [one.count for one in moves if one.what == "registered models"] == [1]
    assert elsewhere.get_model_version("best", "1").source == "gs://new/x/model"


def test_nothing_changes_where_one_place_can_not(elsewhere, monkeypatch):
    before = read_places(elsewhere)
    moves = iter(["gs://new/x"])
    monkeypatch.setattr("mnist_flow.tracking.relocation.move_place", lambda *parts: next(moves))
    with pytest.raises(StopIteration):
        tracking.relocate("s3://bucket", "gs://new", apply=True)
    assert read_places(elsewhere) == before


def test_a_store_in_its_place_has_nothing_to_relocate(store):
    assert tracking.relocate(None, None, apply=True) == []


def test_a_server_a_missing_folder_and_a_run_that_is_written_are_refused(elsewhere, other_process):
    with pytest.raises(UserError, match=r"moved_to=nowhere: no such folder"):
        tracking.relocate("s3://bucket", "nowhere", apply=False)
    run = elsewhere.create_run("0", tags={"mnist_flow.process": other_process[1]})
    with pytest.raises(UserError, match=rf"run {run.info.run_id} is being written; wait for it, or end it"):
        tracking.relocate("s3://bucket", "gs://new", apply=True)
    mlflow.set_tracking_uri("http://server.example:5000")
    with pytest.raises(UserError, match=r"a server can't be told .* on its machine, name its database"):
        tracking.relocate("s3://bucket", "gs://new", apply=True)


@pytest.mark.parametrize(
    ("place", "old", "new", "moved"),
    [
        ("/a/mlruns/1", "/a", "/c", "/c/mlruns/1"),
        ("/a", "/a", "/c", "/c"),
        ("/a/mlruns/1", "/a", "/c d%20e", "file:///c%20d%2520e/mlruns/1"),
        ("file:///a%20b/mlruns/1", "/a b", "/c", "/c/mlruns/1"),
        ("/a/mlruns/1", "/a", "s3://bucket", "s3://bucket/mlruns/1"),
        ("s3://bucket/x/1", "s3://bucket/x", "/c", "/c/1"),
    ],
)
def test_what_follows_the_old_place_stays(place, old, new, moved):
    assert move_place(place, old, new) == moved
