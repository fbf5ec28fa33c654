"""Seeds and folds that repeat each other, in literal tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mnist_flow.jobs.replicates import average_seeds, describe_replicates


def make_table(*rows) -> pd.DataFrame:
    """Rows: setting, fold, accuracy."""
    return pd.DataFrame(rows, columns=["setting", "data.fold", "accuracy"])


def test_runs_without_folds_stand_for_themselves():
    table = make_table(("b", None, 0.7), ("a", None, 0.9), ("b", None, 0.8))
    for given in (table, table.drop(columns="data.fold"), table.set_axis([7, 3, 9])):
        averaged = average_seeds(given, ["setting"], "accuracy")
        assert averaged[["setting", "accuracy"]].to_numpy().tolist() == [["b", 0.7], ["a", 0.9], ["b", 0.8]]


def test_seeds_of_one_of_several_folds_become_their_mean():
    table = make_table(("b", 1, 0.7), ("b", 0, 0.5), ("b", 1, 0.9), ("a", 0, 0.1), ("a", 0, 0.2), ("b", None, 0.3))
    averaged = average_seeds(table, ["setting"], "accuracy")
    # A single fold is one of its group's seeds, as a run without a fold is.
    assert averaged["setting"].tolist() == ["b", "b", "a", "a", "b"]
    np.testing.assert_allclose(averaged["accuracy"], [0.8, 0.5, 0.1, 0.2, 0.3])


def test_a_missing_value_is_a_group_of_its_own():
    table = make_table((None, 0, 0.7), (None, 1, 0.5), (None, 1, 0.6))
    np.testing.assert_allclose(average_seeds(table, ["setting"], "accuracy")["accuracy"], [0.7, 0.55])
    assert describe_replicates(table, ["setting"]).tolist() == ["3 runs of 2 folds"]


@pytest.mark.parametrize(
    ("folds", "told"),
    [
        ([0, 1, 2, 3, 4], "5 folds"),
        ([0, 1, 0, 1, 0, 1], "3 seeds × 2 folds"),
        ([0, 0, 0], "3 seeds"),
        ([0], "1 seed"),
        ([None, None], "2 seeds"),
        ([0, 1, 1], "3 runs of 2 folds"),
    ],
)
def test_what_was_repeated_is_told(folds, told):
    table = make_table(*(("b", fold, 0.5) for fold in folds), ("a", None, 0.5))
    assert describe_replicates(table, ["setting"]).tolist() == [told, "1 seed"]
