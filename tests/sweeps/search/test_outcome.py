"""Which trials are the best, and how much each key decides, in literal values."""

from __future__ import annotations

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution

from mnist_flow.sweeps.search.importances import build_importances
from mnist_flow.sweeps.search.outcome import choose_best, find_front
from mnist_flow.sweeps.search.study import TrialRecord, make_trial

SPACE = {"reg": FloatDistribution(0.0, 1.0), "units": CategoricalDistribution(["a", "b"])}


def test_no_row_of_a_front_is_as_low_in_all_costs_as_another():
    costs = np.array([[1.0, 5.0], [2.0, 2.0], [2.0, 3.0], [5.0, 1.0], [1.0, 5.0]])
    assert find_front(costs).tolist() == [True, True, False, True, True]


def test_the_best_of_several_objectives_are_their_front_by_the_first_of_them():
    results = [(0.9, 300.0), (0.95, 300.0), (0.8, 100.0), (0.7, 200.0)]
    records = [TrialRecord(number, {}, "complete", [values]) for number, values in enumerate(results)]
    records.append(TrialRecord(4, {}, "failed"))
    chosen = choose_best(records, ["val_accuracy", "n_parameters"])
    assert [record.number for record in chosen] == [1, 2]
    assert choose_best(records[4:], ["val_accuracy", "n_parameters"]) == []


def test_what_decides_is_important_in_all_resamples():
    rng = np.random.default_rng(0)
    records = []
    for number, reg in enumerate(rng.uniform(size=30)):
        choices = {"reg": float(reg), "units": "ab"[number % 2]}
        records.append(TrialRecord(number, choices, "complete", [[-((reg - 0.5) ** 2), 10.0]]))
    trials = [make_trial(SPACE, record) for record in records]
    table = build_importances(trials, ["val_accuracy", "n_parameters"], 5)
    # The same trials tell the same.
    pd.testing.assert_frame_equal(build_importances(trials, ["val_accuracy", "n_parameters"], 5), table)
    # Equal values of the second objective tell nothing.
    assert set(table["objective"]) == {"val_accuracy"}
    assert set(table["evaluator"]) == {"fANOVA", "PED-ANOVA"}
    first = table.groupby("evaluator").first()
    assert list(first["key"]) == ["reg", "reg"]
    assert (first["ci_low"] > 0.8).all()
    assert build_importances([], ["val_accuracy"], 5).empty
