"""Searches read back from a store that has no training behind its runs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Param
from optuna.distributions import CategoricalDistribution, FloatDistribution

from mnist_flow import tracking
from mnist_flow.analysis import searches
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.searches import fetch_search
from mnist_flow.errors import TrackingError
from mnist_flow.sweeps.search.memory import TERMS_PATH, Terms, fetch_terms, write_terms

SPACE = {"reg": FloatDistribution(0.0, 1.0), "optimizer": CategoricalDistribution(["sgd", "adam"])}
MINUTE = 60_000


@pytest.fixture
def experiment_id(store):
    return store.create_experiment("searched")


@pytest.fixture
def search(store, experiment_id):
    """Log a search's parent run and its trials, each as long as it says, in minutes; returns the parent's id."""

    def log(objectives, *trials):
        parent = store.create_run(experiment_id).info.run_id
        store.log_text(parent, write_terms(Terms(SPACE, tuple(objectives), 1)), TERMS_PATH)
        for number, (reg, status, minutes, curves) in enumerate(trials):
            begun, ended = (1_000_000 + minute * MINUTE for minute in minutes)
            choices = {"reg": reg, "optimizer": "sgd" if number % 2 else "adam"}
            tags = {"mnist_flow.trial": str(number), "mnist_flow.choices": json.dumps(choices)}
            tags |= {"mlflow.parentRunId": parent}
            if status == "PRUNED":
                tags |= {"mnist_flow.pruned": "1", "mnist_flow.pruned_because": "hopeless"}
            run_id = store.create_run(experiment_id, begun, tags).info.run_id
            points = [
                Metric(name, value, 0, epoch) for name, curve in curves.items() for epoch, value in enumerate(curve, 1)
            ]
            points += [Metric(f"selected_{name}", curve[-1], 0, 0) for name, curve in curves.items()]
            points += [Metric("n_parameters", 100.0 * (number + 1), 0, 0)]
            store.log_batch(run_id, points, [Param("seed", "0")])
            if status != "RUNNING":
                store.set_terminated(run_id, {"PRUNED": "KILLED"}.get(status, status), ended)
        return parent

    return log


@pytest.mark.parametrize("text", ["{", "[]", '{"objectives": [], "replicates": 1, "space": {"reg": 1}}'])
def test_damaged_terms_of_a_search_are_told(store, experiment_id, text):
    run_id = store.create_run(experiment_id).info.run_id
    store.log_text(run_id, text, TERMS_PATH)
    with pytest.raises(TrackingError, match=rf"^run_id={run_id}: its artifact {TERMS_PATH} is damaged; write"):
        fetch_terms(run_id)


def fetch(experiment_id, run_id=None):
    table = pd.DataFrame({"experiment_id": [experiment_id], "experiment": ["searched"]})
    return fetch_search(StudyRuns(table, pd.DataFrame(), []), run_id)


TRIALS = [
    (0.1, "FINISHED", (0, 5), {"val_accuracy": [0.5, 0.9]}),
    (0.5, "PRUNED", (3, 6), {"val_accuracy": [0.15]}),
    # A pause of 94 minutes before it.
    (0.9, "FINISHED", (100, 110), {"val_accuracy": [0.6, 0.95]}),
    (0.2, "FAILED", (101, 102), {"val_accuracy": [0.3]}),
    (0.3, "RUNNING", (102, 0), {}),
]


def test_a_search_is_its_trials_its_curves_and_its_space(search, experiment_id):
    parent = search(["val_accuracy"], *TRIALS)
    found = fetch(experiment_id)
    assert found.run_id == parent
    assert found.terms.objectives == ("val_accuracy",)
    assert [(one.key, one.choices) for one in found.dimensions] == [("reg", ()), ("optimizer", ("sgd", "adam"))]
    trials = found.trials
    assert trials["trial"].tolist() == [0, 1, 2, 3, 4]
    assert trials["reg"].tolist() == [0.1, 0.5, 0.9, 0.2, 0.3]
    assert trials["optimizer"].tolist() == ["adam", "sgd", "adam", "sgd", "adam"]
    assert trials["state"].tolist() == ["complete", "pruned", "complete", "failed", "running"]
    np.testing.assert_array_equal(trials["val_accuracy"], [0.9, 0.15, 0.95, np.nan, np.nan])
    assert trials["reason"].tolist() == ["", "hopeless", "", "failed before", ""]
    assert trials["seconds"][:4].tolist() == [300, 180, 600, 60]
    assert trials["last_step"][:3].tolist() == [2, 1, 2]
    # The pause is left out.
    assert trials["minutes"][:4].tolist() == [5, 6, 16, 8]
    assert "on_front" not in trials
    curves = found.curves.sort_values(["trial", "epoch"])
    assert list(curves)[:3] == ["trial", "state", "run_id"]
    assert curves[["trial", "state", "metric", "epoch", "value"]].to_numpy().tolist() == [
        [0, "complete", "val_accuracy", 1, 0.5],
        [0, "complete", "val_accuracy", 2, 0.9],
        [1, "pruned", "val_accuracy", 1, 0.15],
        [2, "complete", "val_accuracy", 1, 0.6],
        [2, "complete", "val_accuracy", 2, 0.95],
        [3, "failed", "val_accuracy", 1, 0.3],
    ]
    assert found.importances.empty


def test_of_several_objectives_the_pareto_front_is_told(search, experiment_id):
    search(["n_parameters", "val_accuracy"], *TRIALS[:4])
    found = fetch(experiment_id)
    assert found.trials["on_front"].tolist() == [True, False, True, False]
    # The number of parameters has no curve.
    assert set(found.curves["metric"]) == {"val_accuracy"}


def test_the_validation_loss_is_the_curve_where_no_objective_has_one(search, experiment_id):
    search(["n_parameters"], (0.1, "FINISHED", (0, 5), {"val_loss": [0.5, 0.4]}))
    assert fetch(experiment_id).curves["value"].tolist() == [0.5, 0.4]


def test_intervals_tell_how_sure_it_is_what_decides(search, experiment_id, monkeypatch):
    monkeypatch.setattr(searches, "_N_RESAMPLES", 5)
    regs = np.linspace(0, 1, 5).tolist()
    search(["val_accuracy"], *((reg, "FINISHED", (0, 1), {"val_accuracy": [1 - reg]}) for reg in regs))
    importances = fetch(experiment_id).importances
    assert set(importances["evaluator"]) == {"fANOVA", "PED-ANOVA"}
    assert importances.loc[importances["evaluator"] == "fANOVA", "key"].tolist() == ["reg", "optimizer"]
    assert (importances["ci_low"] <= importances["ci_high"]).all()


def test_the_search_begun_last_is_taken_unless_another_is_named(search, experiment_id):
    first = search(["val_accuracy"], TRIALS[0])
    later = (0.7, "FINISHED", (500, 505), {"val_accuracy": [0.8]})
    assert fetch(experiment_id, search(["val_accuracy"], later)).trials["reg"].tolist() == [0.7]
    assert fetch(experiment_id).trials["reg"].tolist() == [0.7]
    assert fetch(experiment_id, first).trials["reg"].tolist() == [0.1]


def test_a_search_without_a_complete_trial_and_no_search_are_errors(search, experiment_id, store):
    line = "study=search: no run of searched belongs to a search; make one: python .* tracking.experiment_name=searched"
    with pytest.raises(TrackingError, match=line):
        fetch(experiment_id)
    run_id = store.create_run(experiment_id).info.run_id
    with pytest.raises(TrackingError, match="only the parent run of a search has it"):
        fetch(experiment_id, run_id)
    parent = search(["val_accuracy"], *TRIALS[3:])
    with pytest.raises(TrackingError, match=f"study=search: none of the 2 trials of run {parent} was completed so far"):
        fetch(experiment_id)


def test_runs_that_confirm_the_best_are_no_trials_and_pruned_runs_are_counted(search, experiment_id, store):
    parent = search(["val_accuracy"], *TRIALS)
    tags = {"mnist_flow.trial": "0", "mnist_flow.choices": "{}", "mlflow.parentRunId": parent}
    store.create_run(experiment_id, 2, tags | {"mnist_flow.confirms": "true"})
    assert [run.trial for run in tracking.fetch_trial_runs(experiment_id, parent)] == [0, 1, 2, 3, 4]
    assert tracking.count_pruned([experiment_id]) == 1
