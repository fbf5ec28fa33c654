"""Artifacts of runs, and what is said where one can't be had."""

from __future__ import annotations

import pytest

from mnist_flow import tracking
from mnist_flow.errors import TrackingError


@pytest.fixture
def experiment_id(store):
    return store.create_experiment("x")


@pytest.fixture
def run_id(store, experiment_id):
    return store.create_run(experiment_id).info.run_id


def test_a_text_artifact_can_be_read(store, run_id):
    store.log_text(run_id, "reg: 0.0\n", "config/config.yaml")
    assert tracking.fetch_text(run_id, "config/config.yaml") == "reg: 0.0\n"


@pytest.mark.parametrize("others", [[], ["config/other.yaml"]])
def test_an_artifact_that_is_not_there_is_told_by_its_name(store, run_id, others):
    for path in others:
        store.log_text(run_id, "", path)
    with pytest.raises(TrackingError, match=f"run_id={run_id}: its artifact config/config.yaml can't be had: "):
        tracking.fetch_text(run_id, "config/config.yaml")


def test_texts_of_runs_and_why_one_has_none(store, experiment_id):
    run_ids = [store.create_run(experiment_id).info.run_id for _ in range(2)]
    store.log_text(run_ids[0], "hello", "note.txt")
    (first, text), (second, error) = tracking.fetch_texts(run_ids, "note.txt")
    assert [first, second] == run_ids
    assert text == "hello"
    assert isinstance(error, TrackingError)
    assert run_ids[1] in str(error)
