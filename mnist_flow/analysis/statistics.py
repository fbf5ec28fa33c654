"""Replicates to numbers: means, spreads, confidence intervals, differences seed by seed. Pure.

Standard deviations are of samples (ddof = 1). What n does not allow is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from mnist_flow.config.train import FOLD, REPLICATED
from mnist_flow.jobs.replicates import REPLICATES, average_seeds, describe_replicates

# Of all intervals.
CONFIDENCE = 0.95
# One class for all is right for 9 to 12 % of the images of ten classes; a network that learned anything is beyond this
# accuracy.
COLLAPSED_BELOW = 0.2
# Columns of a summary that have the unit of its metric.
STATISTICS = ["mean", "std", "sem", "ci_low", "ci_high", "min", "max"]


def summarise(table: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """Replicates to one row a group.

    Args:
        table: one row a run.
        by: columns that tell the groups apart; a missing value is a value of its own.
        metric: the column to summarise; runs without it do not count.

    Returns:
        The columns `by`, in order of first appearance, and n, mean, std, sem (standard error of the mean), ci_low and
        ci_high (95 % t interval of the mean), min, max. Where runs have folds, all these are of the folds' means, see
        `jobs.replicates`, and a column `replicates` after n says what was repeated.
    """
    valued = table.dropna(subset=[metric])
    grouped = average_seeds(valued, by, metric).groupby(list(by), sort=False, dropna=False)[metric]
    summary = grouped.agg(n="count", mean="mean", std="std", sem="sem", min="min", max="max").reset_index()
    half = compute_half_widths(summary["sem"], summary["n"])
    summary = summary.assign(ci_low=summary["mean"] - half, ci_high=summary["mean"] + half)
    if FOLD not in table:
        return summary[[*by, "n", *STATISTICS]]
    return summary.assign(**{REPLICATES: describe_replicates(valued, by)})[[*by, "n", REPLICATES, *STATISTICS]]


def count_replicates(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Count the replicates of each group of a table with several rows a run: columns `by`, n, perhaps replicates."""
    runs = table.drop_duplicates([*by, "run_id"]).assign(one=1.0)
    return summarise(runs, by, "one").drop(columns=STATISTICS)


def compute_half_widths(sem: pd.Series, n: pd.Series) -> pd.Series:
    """Half of the 95 % t interval of each mean, from its standard error and number of values; NaN for n = 1.

    For thousands of groups at once, and for values without spread, of which scipy's tests know no interval.
    """
    return sem * stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).where(n > 1))


def compare_paired(
    table: pd.DataFrame, within: Sequence[str], condition: str, reference: str | float | bool | None, metric: str
) -> pd.DataFrame:
    """Differences from a reference condition, seed by seed: what the seed does to both cancels.

    Args:
        table: one row a run, with a column seed; pairs have the same seed and, where there are any, the same fold.
        within: columns in which both runs of a pair agree; may be empty.
        condition: the column that tells conditions apart.
        reference: its value that the others are compared with; groups without it have no rows, nor has any for None.
        metric: the column compared.

    Returns:
        Columns `within`, condition, reference, n (pairs), difference (mean of condition - reference), std, sem, ci_low,
        ci_high (95 % t interval), in order of first appearance; conditions without a pair are left out.
    """
    keys = [*within, *(name for name in REPLICATED if name in table)]
    valued = table.dropna(subset=[metric])
    base = (
        valued[valued[condition] == reference].groupby(keys, dropna=False)[metric].mean().rename("base").reset_index()
    )
    others = valued[valued[condition] != reference]
    pairs = others.merge(base, on=keys)
    pairs = pairs.assign(difference=pairs[metric] - pairs["base"])
    summary = summarise(pairs, [*within, condition], "difference").rename(columns={"mean": "difference"})
    count = [name for name in ("n", REPLICATES) if name in summary]
    columns = [*within, condition, "reference", *count, "difference", "std", "sem", "ci_low", "ci_high"]
    return summary.assign(reference=reference)[columns]


def rank_evenly(values: pd.Series, ascending: bool = True) -> pd.Series:
    """Rank values from 0 to 1: the first has 0 and the last 1, equal ones share a rank; all have 1 if none differ."""
    ranks = values.rank(ascending=ascending)
    lowest, highest = ranks.min(), ranks.max()
    return (ranks - lowest) / (highest - lowest) if highest > lowest else ranks * 0 + 1
