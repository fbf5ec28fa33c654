"""The tables of evaluations: merged, and read although some are lost."""

from __future__ import annotations

import json
from collections.abc import Sequence

import mlflow
import numpy as np
import pandas as pd
import pytest

from mnist_flow import tracking
from mnist_flow.errors import TrackingError

MEASURED = ["n", "accuracy", "standard_error", "macro_recall", "cross_entropy"]


@pytest.fixture
def experiment_id(store) -> str:
    return store.create_experiment("measured")


@pytest.fixture
def evaluate(store, experiment_id):
    """Make a finished evaluation with a table of angles and accuracies; returns its run id."""
    start = 0

    def make(run_id: str, degrees: Sequence[float], accuracy: float, seed: int = 0) -> str:
        nonlocal start
        start += 1
        tags = {
            tracking.KIND_TAG: "evaluation",
            tracking.MEASURE_TAG: "rotation",
            tracking.MEASURED_RUN_TAG: run_id,
        }
        evaluation = store.create_run(experiment_id, start_time=start, tags=tags).info.run_id
        params = {"model.name": "mlp", "seed": seed, "data.name": "digits", "data.validation": "test"}
        for key, value in params.items():
            store.log_param(evaluation, key, value)
        table = {
            "columns": ["run_id", "degrees", *MEASURED],
            "data": [[run_id, one, 360, accuracy, 0.01, accuracy, 0.5] for one in degrees],
        }
        store.log_text(evaluation, json.dumps(table), "tables/rotation.json")
        store.set_terminated(evaluation, "FINISHED")
        return evaluation

    return make


def damage(store: mlflow.MlflowClient, evaluation: str) -> None:
    store.log_text(evaluation, '{"columns": ["run_id", "deg', "tables/rotation.json")


def test_tables_come_with_what_tells_the_runs_apart(experiment_id, evaluate):
    evaluate("a", [0, 10], 0.9, seed=3)
    evaluate("b", [0, 10], 0.8, seed=4)
    table = tracking.fetch_tables("rotation", [experiment_id], ["b", "a"])
    assert list(table) == ["run_id", "degrees", *MEASURED, "model.name", "seed", "data.name", "data.validation"]
    assert table["run_id"].tolist() == ["b", "b", "a", "a"]
    assert table["seed"].tolist() == [4, 4, 3, 3]
    assert table["accuracy"].tolist() == [0.8, 0.8, 0.9, 0.9]
    assert set(table["model.name"]) == {"mlp"}
    assert np.issubdtype(table["accuracy"].dtype, np.floating)
    everything = tracking.fetch_tables("rotation", [experiment_id])
    assert everything["run_id"].tolist() == ["a", "a", "b", "b"]


def test_nothing_measured_is_an_empty_frame_without_a_warning(experiment_id, evaluate, caplog):
    evaluate("a", [0], 0.9)
    for table in (
        tracking.fetch_tables("shift", [experiment_id]),
        tracking.fetch_tables("shift", [experiment_id], ["a"]),
        tracking.fetch_tables("rotation", [experiment_id], ["b"]),
    ):
        assert isinstance(table, pd.DataFrame)
        assert table.empty
    assert caplog.text == ""


def test_evaluations_with_other_settings_are_merged_and_the_last_of_a_condition_counts(experiment_id, evaluate):
    evaluate("a", [-10, 0, 10], 0.7)
    evaluate("a", [20.5, 0], 0.9)
    evaluate("b", [0], 0.6)
    evaluate("a", [10], 0.8)
    table = tracking.fetch_tables("rotation", [experiment_id], ["a", "b"])
    assert table["run_id"].tolist() == ["a", "a", "a", "a", "b"]
    # In the order of the largest table, though the others came later.
    assert table["degrees"].tolist() == [-10, 0, 10, 20.5, 0]
    assert table["accuracy"].tolist() == [0.7, 0.9, 0.8, 0.9, 0.6]


def test_the_columns_before_n_are_the_condition_also_where_tables_have_others(store, experiment_id, evaluate):
    levels = {"columns": ["run_id", "level", "draw", *MEASURED], "data": [["a", 0.5, 0, 9, 0.1, 0, 0, 0]]}
    stddevs = {"columns": ["run_id", "stddev", "draw", *MEASURED], "data": [["a", 0.5, 0, 9, 0.2, 0, 0, 0]]}
    anew = {"columns": levels["columns"], "data": [["a", 0.5, 0, 9, 0.3, 0, 0, 0], ["a", 0.5, 1, 9, 0.4, 0, 0, 0]]}
    for table in (levels, stddevs, anew):
        store.log_text(evaluate("a", [0], 0.9), json.dumps(table), "tables/rotation.json")
    merged = tracking.fetch_tables("rotation", [experiment_id], ["a"])
    assert merged[["level", "stddev", "draw", "accuracy"]].fillna(-1).to_numpy().tolist() == [
        [0.5, -1, 0, 0.3],
        [0.5, -1, 1, 0.4],
        [-1, 0.5, 0, 0.2],
    ]


def test_lost_and_damaged_tables_are_told_and_left_out(store, experiment_id, evaluate, caplog):
    evaluate("a", [0, 10], 0.9)
    damaged = evaluate("a", [0], 0.5)
    lost = store.create_run(experiment_id, start_time=9, tags=store.get_run(damaged).data.tags).info.run_id
    store.set_tag(lost, tracking.MEASURED_RUN_TAG, "b")
    store.set_terminated(lost, "FINISHED")
    damage(store, damaged)
    table = tracking.fetch_tables("rotation", [experiment_id], ["a", "b"])
    assert table["run_id"].tolist() == ["a", "a"]
    assert table["accuracy"].tolist() == [0.9, 0.9]
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("mnist_flow")]
    assert len(warnings) == 2
    assert warnings[0].startswith(f"run {damaged}: its artifact tables/rotation.json can't be had (Unterminated string")
    assert warnings[1].startswith(f"run {lost}: its artifact tables/rotation.json can't be had (")
    assert warnings[1].endswith("measure=rotation 'run_ids=[b]' resume=false")


def test_no_table_that_can_be_had_is_an_error(store, experiment_id, evaluate, caplog):
    evaluations = [evaluate(run_id, [0], 0.9) for run_id in "ab"]
    for evaluation in evaluations:
        damage(store, evaluation)
    with pytest.raises(TrackingError, match=f"no table of 2 evaluations can be had: run {evaluations[0]}: "):
        tracking.fetch_tables("rotation", [experiment_id])
    assert caplog.text == ""


def test_evaluations_of_each_run_are_listed_oldest_first(store, experiment_id, evaluate):
    first, other, second = evaluate("a", [0], 0.9), evaluate("b", [0], 0.8), evaluate("a", [10], 0.7)
    store.set_terminated(evaluate("a", [0], 0.1), "FAILED")
    found = tracking.fetch_evaluations("rotation", [experiment_id], ["b", "c", "a"])
    assert found == {"b": [other], "a": [first, second]}
    assert list(found) == ["b", "a"]
    assert tracking.fetch_evaluations("latent", [experiment_id], ["a"]) == {}


@pytest.fixture
def log_arrays(store, experiment_id, tmp_path):
    """Log a .npz artifact of a new run; returns the run's id."""

    def log(**arrays: np.ndarray) -> str:
        run_id = store.create_run(experiment_id).info.run_id
        np.savez_compressed(tmp_path / "few.npz", **arrays)
        store.log_artifact(run_id, tmp_path / "few.npz", "samples")
        return run_id

    return log


def test_arrays_come_as_they_were_logged(log_arrays):
    run_id = log_arrays(points=np.float32([[1, 2]]), layers=np.array(["conv_1"]), latent=np.array(2))
    found = tracking.fetch_arrays(run_id, "samples/few.npz")
    assert set(found) == {"points", "layers", "latent"}
    assert found["points"].dtype == np.float32
    assert found["points"].tolist() == [[1, 2]]
    assert found["layers"].tolist() == ["conv_1"]
    assert found["latent"] == 2


def test_arrays_that_can_not_be_had_are_told_in_one_line(store, log_arrays):
    run_id = log_arrays(objects=np.array([{"a": 1}], dtype=object))
    store.log_text(run_id, "PK nothing", "samples/damaged.npz")
    for path in ("samples/few.npz", "samples/damaged.npz", "samples/none.npz"):
        with pytest.raises(TrackingError, match=f"^run_id={run_id}: its artifact {path} can't be had: ") as raised:
            tracking.fetch_arrays(run_id, path)
        assert "\n" not in str(raised.value)
