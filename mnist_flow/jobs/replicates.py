"""Runs that repeat each other: seeds, and folds of the training images, each of which is seen with several seeds.

The spread over folds is that of the folds' means, so that a fold counts once, however many seeds it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mnist_flow.config.train import FOLD

# Column of a summary that says what was repeated, where some of the runs have folds.
REPLICATES = "replicates"


def average_seeds(table: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """Turn runs into replicates: where a group has several folds, its runs of one fold become their mean.

    Args:
        table: one row a run; runs without a fold have no column `data.fold`, or NaN there.
        by: columns that tell the groups apart; a missing value is a value of its own.
        metric: the column to average.

    Returns:
        The columns `by` and `metric`, one row a replicate, groups in order of first appearance.
    """
    if FOLD not in table:
        return table[[*by, metric]]
    replicate = table[FOLD].where(_has_folds(table, by), pd.Series(-1.0 - np.arange(len(table)), index=table.index))
    return table.groupby([*by, replicate.rename("replicate")], sort=False, dropna=False)[metric].mean().reset_index()


def describe_replicates(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Say what was repeated in each group: `5 folds`, `3 seeds × 5 folds`, `3 seeds`.

    Args:
        table: one row a run, with a column `data.fold`.
        by: see `average_seeds`.

    Returns:
        A text a group, in order of first appearance; the index counts the groups.
    """
    folds = table.assign(fold=table[FOLD]).groupby(list(by), sort=False, dropna=False)["fold"]
    return pd.Series([_describe(runs, n) for runs, n in zip(folds.size(), folds.nunique(), strict=True)], dtype=object)


def _has_folds(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Whether each run is of one of several folds of its group; those of a single fold differ in the seed alone."""
    folds = table.assign(fold=table[FOLD]).groupby(list(by), sort=False, dropna=False)["fold"].transform("nunique")
    return (folds > 1) & table[FOLD].notna()


def _describe(runs: int, folds: int) -> str:
    if folds <= 1:
        return f"{runs} seed{'' if runs == 1 else 's'}"
    if runs == folds:
        return f"{folds} folds"
    return f"{runs // folds} seeds × {folds} folds" if runs % folds == 0 else f"{runs} runs of {folds} folds"
