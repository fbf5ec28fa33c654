"""Who gets which trial, and what becomes of lost and failed ones; no process is started."""

from __future__ import annotations

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution

from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.search.coordinator import Coordinator, TrialConnection
from mnist_flow.sweeps.search.messages import Assignment
from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord

SPACE = Space((), (), {"reg": FloatDistribution(0.0, 1.0)}, frozenset())


@pytest.fixture
def ended():
    return []


@pytest.fixture
def make(ended):
    def make_coordinator(n_trials, records=(), assign=None, pruner=None, judged=None):
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=pruner or optuna.pruners.NopPruner(),
        )
        return Coordinator(
            assign=assign or (lambda record: Assignment(record.number, (), {}, {}, {}, None)),
            records=list(records),
            study=study,
            space=SPACE,
            compose=lambda overrides: OmegaConf.create({"reg": 0.0}),
            on_end=lambda record: ended.append((record.number, record.state, record.reason, record.kept)),
            n_trials=n_trials,
            judged=judged,
        )

    return make_coordinator


def complete(connection, value):
    connection.answer("result", 1, [value], True)
    connection.answer("complete")


def begin(coordinator):
    connection = TrialConnection(coordinator)
    return connection, connection.answer("next")


def test_a_free_process_gets_the_next_trial_while_others_are_at_work(make, ended):
    coordinator = make(3)
    first, second = begin(coordinator), begin(coordinator)
    assert (first[1].trial, second[1].trial, coordinator.count_left()) == (0, 1, 1)
    complete(second[0], 0.5)
    third = begin(coordinator)
    assert third[1].trial == 2
    assert begin(coordinator)[1] is None
    complete(first[0], 0.7)
    third[0].answer("failed", "out of memory")
    assert ended == [(1, "complete", "", False), (0, "complete", "", False), (2, "failed", "out of memory", False)]
    assert coordinator.study.best_value == 0.7


def test_a_lost_trial_is_tried_again_once(make, ended):
    coordinator = make(1)
    for _ in range(2):
        connection, assignment = begin(coordinator)
        assert assignment.trial == 0
        connection.lose()
    assert ended == [(0, "failed", "its process was lost twice", False)]
    assert coordinator.count_left() == 0


def test_those_that_a_broken_pool_takes_along_do_not_count_as_lost(make, ended):
    coordinator = make(2)
    for _ in range(2):
        connections = [begin(coordinator)[0] for _ in range(2)]
        for connection in connections:
            connection.lose()
        coordinator.forgive_bystanders()
    assert [number for number, *_ in ended] == [0]
    assert begin(coordinator)[1].trial == 1


def test_a_connection_that_ends_after_its_trial_loses_nothing(make):
    coordinator = make(1)
    connection, _ = begin(coordinator)
    complete(connection, 0.5)
    connection.lose()
    assert coordinator.lost == []


def test_ten_failures_in_a_row_end_the_search(make, ended):
    def refuse(record):
        raise ConfigError("too large")

    coordinator = make(50, assign=refuse)
    assert begin(coordinator)[1] is None
    assert coordinator.has_given_up
    assert ended == [(number, "failed", "too large", False) for number in range(10)]


def test_trials_that_were_cut_off_come_first_with_what_was_chosen_for_them(make):
    known = [TrialRecord(4, {"reg": 0.25}, "complete", [[0.5]]), TrialRecord(5, {"reg": 0.75})]
    coordinator = make(3, known)
    assert [begin(coordinator)[1].trial for _ in range(2)] == [5, 6]
    assert known[1].choices == {"reg": 0.75}
    assert begin(coordinator)[1] is None


def test_a_hopeless_epoch_ends_a_trial_with_its_last_value(make, ended):
    coordinator = make(2, pruner=optuna.pruners.MedianPruner(n_startup_trials=1), judged="epoch")
    good, _ = begin(coordinator)
    assert good.answer("epoch", 1, 0.9) is None
    complete(good, 0.95)
    bad, _ = begin(coordinator)
    reason = bad.answer("epoch", 1, 0.1)
    assert reason == "its objective 0.1 at epoch 1 is behind that of other trials"
    bad.answer("pruned", reason)
    assert ended[1] == (1, "pruned", reason, False)
    assert coordinator.records[1].objectives == (0.1,)


def test_finished_runs_and_trials_pruned_between_seeds_are_kept_by_the_parent(make, ended):
    coordinator = make(1)
    connection, _ = begin(coordinator)
    connection.answer("run", "elsewhere", True)
    complete(connection, 0.5)
    assert ended == [(0, "complete", "", True)]
    assert (coordinator.records[0].replicates, coordinator.records[0].run_ids) == ([[0.5]], ["elsewhere"])
