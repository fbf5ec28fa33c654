"""The honest protocol: a setting is chosen on held-out images, and only its test accuracy counts."""

from __future__ import annotations

import pandas as pd

from mnist_flow.analysis.runs import label_settings
from mnist_flow.analysis.statistics import summarise


def choose_metric(table: pd.DataFrame, metric: str | None) -> str:
    """`metric`, or for None what settings are compared by: test accuracy, or validation accuracy of held-out images."""
    if metric is not None:
        return metric
    return "val_accuracy" if set(table["data.validation"]) == {"holdout"} else "test_accuracy"


def build_selection(table: pd.DataFrame) -> pd.DataFrame:
    """The setting that each experiment with held-out images chooses, by its mean validation accuracy.

    Args:
        table: from `runs.build_run_table`.

    Returns:
        One row an experiment with held-out images and more than one setting: experiment, setting, settings (how many
        there were), n, val_accuracy (mean), and of the test accuracy mean, std, sem, ci_low, ci_high, min, max.
    """
    rows = []
    held_out = table[table["data.validation"] == "holdout"]
    for _, runs in held_out.groupby("experiment", sort=False):
        means = runs.groupby("group")["val_accuracy"].mean()
        if len(means) < 2:
            continue
        labels = label_settings(runs, apart_from=("seed",))
        chosen = runs[runs["group"] == means.idxmax()]
        test = summarise(chosen, ["experiment"], "test_accuracy")
        test.insert(1, "setting", labels[chosen.index[0]])
        test.insert(2, "settings", len(means))
        test.insert(4, "val_accuracy", means.max())
        rows.append(test)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
