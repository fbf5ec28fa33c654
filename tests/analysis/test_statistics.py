"""Against literal values: report 001-2.4b's three replicates at two λ, and t quantiles from a table."""

import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.statistics import compare_paired, compute_half_widths, count_replicates, rank_evenly, summarise


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "reg": [1e-6] * 3 + [1e-3] * 3,
            "seed": [0, 1, 2] * 2,
            "test_accuracy": [0.9819, 0.9813, 0.9821, 0.9796, 0.9791, 0.9817],
        }
    )


def test_summary(table):
    summary = summarise(table, ["reg"], "test_accuracy")
    assert list(summary) == ["reg", "n", "mean", "std", "sem", "ci_low", "ci_high", "min", "max"]
    assert summary["n"].tolist() == [3, 3]
    np.testing.assert_allclose(summary["mean"], [0.98176667, 0.98013333], atol=1e-8)
    # ddof = 1; with ddof = 0 they would be 0.00033993 and 0.00112645.
    np.testing.assert_allclose(summary["std"], [0.00041633, 0.00137961], atol=1e-8)
    np.testing.assert_allclose(summary["sem"], [0.00024037, 0.00079652], atol=1e-8)
    # t with 2 degrees of freedom: 4.30265 standard errors.
    np.testing.assert_allclose(summary["ci_high"] - summary["mean"], [0.00103423, 0.00342714], atol=1e-7)
    np.testing.assert_allclose(summary["mean"] - summary["ci_low"], [0.00103423, 0.00342714], atol=1e-7)
    assert summary["min"].tolist() == [0.9813, 0.9791]
    assert summary["max"].tolist() == [0.9821, 0.9817]


def test_one_run_has_no_spread(table):
    summary = summarise(table[table["seed"] == 0], ["reg"], "test_accuracy")
    assert summary["n"].tolist() == [1, 1]
    assert summary[["std", "sem", "ci_low", "ci_high"]].isna().all(axis=None)


def test_runs_without_the_metric_do_not_count(table):
    table.loc[0, "test_accuracy"] = np.nan
    assert summarise(table, ["reg"], "test_accuracy")["n"].tolist() == [2, 3]


def test_groups_keep_their_order_and_may_be_missing(table):
    table["noise"] = [np.nan] * 3 + [0.1] * 3
    assert summarise(table[::-1], ["reg", "noise"], "test_accuracy")["reg"].tolist() == [1e-3, 1e-6]
    assert summarise(table, ["noise"], "test_accuracy")["n"].tolist() == [3, 3]


@pytest.mark.parametrize(("n", "half"), [(2, 12.7062), (3, 4.30265), (10, 2.26216), (1, np.nan)])
def test_half_widths_are_quantiles_of_t(n, half):
    (found,) = compute_half_widths(pd.Series([1.0]), pd.Series([n]))
    np.testing.assert_allclose(found, half, rtol=1e-5)


def test_paired_differences(table):
    paired = compare_paired(table, [], "reg", 1e-6, "test_accuracy")
    assert list(paired) == ["reg", "reference", "n", "difference", "std", "sem", "ci_low", "ci_high"]
    assert paired[["reg", "reference", "n"]].to_numpy().tolist() == [[1e-3, 1e-6, 3]]
    # -0.0023 -0.0022 -0.0004
    np.testing.assert_allclose(paired["difference"], [-0.00163333], atol=1e-8)
    np.testing.assert_allclose(paired["std"], [0.00106927], atol=1e-8)
    np.testing.assert_allclose(paired["ci_low"], [-0.00163333 - 4.30265 * 0.00106927 / np.sqrt(3)], atol=1e-7)


def test_only_the_same_seeds_are_paired(table):
    table.loc[5, "seed"] = 7
    paired = compare_paired(table, [], "reg", 1e-6, "test_accuracy")
    assert paired["n"].tolist() == [2]
    np.testing.assert_allclose(paired["difference"], [-0.00225], atol=1e-8)


def test_pairs_agree_in_what_they_are_compared_within(table):
    both = pd.concat([table.assign(setting="a"), table.assign(setting="b", test_accuracy=0.5)], ignore_index=True)
    paired = compare_paired(both, ["setting"], "reg", 1e-6, "test_accuracy")
    assert paired["setting"].tolist() == ["a", "b"]
    np.testing.assert_allclose(paired["difference"], [-0.00163333, 0], atol=1e-8)
    # Seed by seed: three pairs, not nine, and the spread of their differences.
    assert paired["n"].tolist() == [3, 3]
    np.testing.assert_allclose(paired["std"], [0.00106927, 0], atol=1e-8)


def test_without_a_reference_there_is_nothing(table):
    assert compare_paired(table, [], "reg", 0, "test_accuracy").empty


@pytest.fixture
def folded() -> pd.DataFrame:
    """Two seeds of two folds; the means of the folds are 0.6 and 0.8."""
    return pd.DataFrame(
        {
            "reg": [1e-6] * 4,
            "seed": [0, 1, 0, 1],
            "data.fold": [0, 0, 1, 1],
            "run_id": list("abcd"),
            "test_accuracy": [0.5, 0.7, 0.7, 0.9],
        }
    )


def test_the_spread_over_folds_is_that_of_their_means(folded):
    (row,) = summarise(folded, ["reg"], "test_accuracy").to_dict("records")
    assert (row["n"], row["replicates"]) == (2, "2 seeds × 2 folds")
    np.testing.assert_allclose([row["mean"], row["std"], row["sem"]], [0.7, 0.14142136, 0.1])
    (counted,) = count_replicates(pd.concat([folded, folded]), ["reg"]).to_dict("records")
    assert counted == {"reg": 1e-6, "n": 2, "replicates": "2 seeds × 2 folds"}


def test_runs_of_one_fold_and_runs_without_folds_are_told_apart_by_their_seeds(folded):
    table = pd.concat([folded, folded.assign(reg=1e-3, **{"data.fold": np.nan})])
    summary = summarise(table, ["reg"], "test_accuracy")
    assert summary["n"].tolist() == [2, 4]
    assert summary["replicates"].tolist() == ["2 seeds × 2 folds", "4 seeds"]
    assert summarise(folded, ["data.fold"], "test_accuracy")["replicates"].tolist() == ["2 seeds", "2 seeds"]


def test_folds_are_compared_fold_by_fold(folded):
    other = folded.assign(reg=1e-3, test_accuracy=folded["test_accuracy"] + [0.1, 0.1, 0.2, 0.2])
    (row,) = compare_paired(pd.concat([folded, other]), [], "reg", 1e-6, "test_accuracy").to_dict("records")
    assert (row["n"], row["replicates"]) == (2, "2 seeds × 2 folds")
    np.testing.assert_allclose([row["difference"], row["std"]], [0.15, 0.07071068])


@pytest.mark.parametrize(
    ("values", "ascending", "ranks"),
    [([3, 1, 2], True, [1, 0, 0.5]), ([3, 1, 2], False, [0, 1, 0.5]), ([1, 1, 5], True, [0, 0, 1]), ([4], True, [1])],
)
def test_ranks_reach_from_the_first_to_the_last(values, ascending, ranks):
    assert rank_evenly(pd.Series(values), ascending).tolist() == ranks
