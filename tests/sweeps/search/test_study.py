"""A study rebuilt from runs, in literal values."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from mnist_flow import tracking
from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.search.memory import Terms, fetch_trials, write_kept
from mnist_flow.sweeps.search.settings import SearchSettings
from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord, build_study, make_trial
from mnist_flow.tracking import PastTrialRun

SPACE = Space((), (), {"reg": FloatDistribution(0.0, 1.0), "units": CategoricalDistribution(["a", "b"])}, frozenset())


def make_settings(**changes):
    plain = {
        "n_trials": 5,
        "timeout": None,
        "sampler": "tpe",
        "sampler_options": None,
        "pruner": "none",
        "pruner_options": None,
        "seed": 0,
        "confirm": 0,
        "confirm_seeds": 3,
        "include_finished": False,
        "params": None,
    }
    return SearchSettings.model_validate({**plain, **changes})


def make_run(number, state, seed=0, **metrics):
    choices = {"reg": number / 10, "units": "a"}
    return PastTrialRun(
        f"run {number} {seed}", number, choices, state, seed, metrics, started=10.0 * number, ended=10.0 * number + 1.5
    )


@pytest.fixture
def rebuild(monkeypatch):
    """What a store has → the trials of a search."""

    def rebuild_trials(runs, kept, curves, objectives, n_replicates):
        points = [(run, step, value) for run, curve in curves.items() for step, value in curve.items()]
        histories = pd.DataFrame(points, columns=["run_id", "step", "value"])
        monkeypatch.setattr(tracking, "fetch_trial_runs", lambda *where: runs)
        monkeypatch.setattr(tracking, "fetch_adopted_trials", lambda run_id: kept)
        monkeypatch.setattr(
            tracking, "fetch_histories", lambda run_ids, metrics: histories[histories["run_id"].isin(run_ids)]
        )
        terms = Terms(SPACE.dimensions, tuple(objectives), n_replicates)
        return fetch_trials("1", "parent", terms, with_curves=False)

    return rebuild_trials


def test_trials_are_what_their_runs_are(rebuild):
    runs = [
        make_run(0, "finished", val_accuracy=0.9),
        make_run(1, "pruned", val_accuracy=0.3),
        make_run(2, "failed"),
        make_run(3, "open"),
        make_run(4, "open"),
        make_run(4, "finished", val_accuracy=0.8),
    ]
    curves = {"run 1 0": {1: 0.2, 2: 0.3}}
    records = rebuild(runs, {}, curves, ["val_accuracy"], n_replicates=1)
    assert [record.state for record in records] == ["complete", "pruned", "failed", "running", "complete"]
    assert [record.objectives for record in records] == [(0.9,), (0.3,), None, None, (0.8,)]
    assert records[1].reports == {1: 0.2, 2: 0.3}
    study = build_study(make_settings(), SPACE, ["val_accuracy"], n_known=5)
    for record in records:
        if record.state != "running":
            study.add_trial(make_trial(SPACE.dimensions, record))
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE]
    assert [trial.state for trial in study.trials] == states
    assert study.best_trial.params == {"reg": 0.0, "units": "a"}
    assert study.best_value == 0.9
    assert study.trials[1].intermediate_values == {1: 0.2, 2: 0.3}


def test_a_trial_of_several_seeds_has_their_mean_and_is_complete_with_the_last(rebuild):
    two = [make_run(0, "finished", seed, val_loss=value) for seed, value in ((7, 0.2), (8, 0.4))]
    two[1] = replace(two[1], started=10.0, ended=11.5)
    (record,) = rebuild(two, {}, {}, ["val_loss"], n_replicates=2)
    assert (record.state, record.objectives, record.reports) == ("complete", (pytest.approx(0.3),), {1: 0.2, 2: 0.4})
    # From the start of its first run to the end of its last.
    assert (record.started, record.ended) == (0.0, 11.5)
    (record,) = rebuild(two, {}, {}, ["val_loss"], n_replicates=3)
    assert record.state == "running"


def test_what_the_parent_remembers_counts(rebuild):
    kept = {
        3: {"state": "complete", "choices": {"reg": 0.5}, "values": [0.7], "run_ids": ["elsewhere"], "reason": "so"}
    }
    records = rebuild([make_run(1, "finished", val_accuracy=0.9)], kept, {}, ["val_accuracy"], n_replicates=1)
    assert [record.reason for record in records] == ["", "so"]
    assert [(record.number, record.objectives, record.run_ids) for record in records] == [
        (1, (0.9,), ["run 1 0"]),
        (3, (0.7,), ["elsewhere"]),
    ]


def test_what_is_written_for_the_parent_to_remember_is_read_as_it_was(rebuild):
    record = TrialRecord(2, {"reg": 0.5}, "complete", [[0.7]], ["elsewhere"], included=True, kept=True)
    ((tag, text),) = write_kept([record]).items()
    assert tag == "mnist_flow.trial.2"
    assert rebuild([], {2: json.loads(text)}, {}, ["val_accuracy"], n_replicates=1) == [record]


def test_a_trial_that_was_pruned_between_seeds_is_rebuilt_as_the_sampler_was_told(rebuild):
    kept = {0: {"state": "pruned", "choices": {"reg": 0.5}, "values": [0.9, 0.5], "run_ids": ["a", "b"]}}
    (record,) = rebuild([], kept, {}, ["val_accuracy"], n_replicates=3)
    assert (record.objectives, record.reports) == ((0.5,), {1: 0.9, 2: 0.5})
    assert make_trial(SPACE.dimensions, record).value == 0.5


def test_a_study_that_goes_on_draws_other_trials_than_it_drew_before():
    def draw(n_known):
        study = build_study(make_settings(sampler="random"), SPACE, ["val_accuracy"], n_known)
        return [study.ask().suggest_float("reg", 0.0, 1.0) for _ in range(3)]

    assert draw(0) == draw(0)
    assert not set(draw(0)) & set(draw(3))


NUMBERS = Space(
    (), (), {"reg": FloatDistribution(0.0, 1.0), "rate": FloatDistribution(1e-3, 1.0, log=True)}, frozenset()
)


def search_on(records, n_trials, **changes):
    """Search the maximum, which is 0 at reg=0.3 and rate=0.1, after these trials, whose state may have been lost."""
    study = build_study(make_settings(**changes), NUMBERS, ["val_accuracy"], len(records))
    for record in records:
        study.add_trial(make_trial(NUMBERS.dimensions, record))
    found = list(records)
    for _ in range(n_trials):
        trial = study.ask()
        choices = {
            "reg": trial.suggest_float("reg", 0.0, 1.0),
            "rate": trial.suggest_float("rate", 1e-3, 1.0, log=True),
        }
        value = -((choices["reg"] - 0.3) ** 2) - (choices["rate"] - 0.1) ** 2
        study.tell(trial, value)
        found.append(TrialRecord(len(found), choices, "complete", [[value]]))
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsgaii", "cmaes", "gp"])
def test_every_sampler_finds_something_and_goes_on_with_other_trials(sampler):
    if sampler == "gp":
        pytest.importorskip("torch")
    first = search_on([], 12, sampler=sampler)
    assert search_on([], 12, sampler=sampler) == first
    records = search_on(first, 12, sampler=sampler)
    assert len({tuple(record.choices.values()) for record in records}) == 24
    assert max(record.objectives[0] for record in records) > -0.02


def test_hyperband_has_the_same_brackets_whenever_the_study_is_built():
    def prune():
        options = {"min_resource": 1, "max_resource": 9}
        study = build_study(make_settings(pruner="hyperband", pruner_options=options), NUMBERS, ["val_accuracy"], 0)
        ended = []
        for number in range(20):
            trial = study.ask()
            for epoch in range(1, 10):
                trial.report(0.1 * epoch - 0.01 * number, epoch)
                if trial.should_prune():
                    break
            ended.append(epoch)
            study.tell(trial, 0.1 * epoch - 0.01 * number)
        return ended

    assert prune() == prune()
    assert {1, 9} <= set(prune())


def test_a_sampler_that_cant_take_the_space_is_told_in_a_line():
    with pytest.raises(ConfigError, match="sampler=cmaes: searches numbers only, and units has choices"):
        build_study(make_settings(sampler="cmaes"), SPACE, ["val_accuracy"], 0)
    with pytest.raises(ConfigError, match=r"pruner=median: Optuna's MedianPruner refuses its options \(.*n_startup\b"):
        build_study(make_settings(pruner="median", pruner_options={"n_startup": 3}), SPACE, ["val_accuracy"], 0)


def test_of_several_objectives_each_has_its_mean_and_its_direction(rebuild):
    sizes = [make_run(0, "finished", seed, val_loss=0.2 * seed, n_parameters=100) for seed in (1, 2)]
    kept = {
        1: {"state": "complete", "choices": {"reg": 0.5}, "values": [[0.1, 500], [0.3, 500]], "run_ids": ["a", "b"]}
    }
    records = rebuild(sizes, kept, {}, ["val_loss", "n_parameters"], n_replicates=2)
    assert [record.objectives for record in records] == [(pytest.approx(0.3), 100), (pytest.approx(0.2), 500)]
    study = build_study(make_settings(), SPACE, ["val_accuracy", "n_parameters"], n_known=0)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
