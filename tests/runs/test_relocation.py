"""What the command says and changes of a store whose artifacts moved, in this process."""

from __future__ import annotations

import pytest

from mnist_flow.errors import TrackingError
from mnist_flow.runs.relocation import relocate_artifacts

pytestmark = pytest.mark.usefixtures("output")


@pytest.fixture
def relocate(store, compose_config):
    store.create_experiment("cloud", "s3://bucket/x")

    def call(*overrides):
        return relocate_artifacts(compose_config(*overrides, config_name="relocate"))

    return call


MOVE = ("moved_from='s3://bucket'", "moved_to='gs://new'")


def test_what_would_move_is_shown_and_changed_once_that_is_asked_for(relocate, store, capsys):
    (move,) = relocate(*MOVE)
    shown = capsys.readouterr().out
    assert (move.what, move.count) == ("experiments", 1)
    told = "nothing is changed yet; apply=true changes it"
    for word in ("artifacts of", "experiments", "s3://bucket", "gs://new", told):
        assert word in shown
    assert store.get_experiment_by_name("cloud").artifact_location == "s3://bucket/x"
    assert relocate(*MOVE, "apply=true") == [move]
    assert "the store says so now" in capsys.readouterr().out
    assert store.get_experiment_by_name("cloud").artifact_location == "gs://new/x"


def test_a_store_of_which_nothing_moved_says_so(relocate, capsys):
    assert relocate() == []
    assert capsys.readouterr().out.endswith("mlflow.db: nothing to relocate\n")


def test_a_store_that_is_not_there_is_not_made(relocate, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(TrackingError, match=r"none\.db: no such store"):
        relocate()
    assert not (tmp_path / "none.db").exists()
