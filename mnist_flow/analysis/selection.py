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
        there were), complete (how many of them have as many runs as the one with most; only these are chosen from, or
        a half-finished sweep would choose by luck), n, val_accuracy (mean), of the test accuracy mean, std, sem,
        ci_low, ci_high, min, max, and the setting that the test set itself would have chosen among the same runs
        (best_on_test) with its mean test accuracy (best_on_test_mean), which is optimistic. Runs without the two
        accuracies don't count.
    """
    rows = []
    held_out = table[table["data.validation"] == "holdout"].dropna(subset=["val_accuracy", "test_accuracy"])
    for _, runs in held_out.groupby("experiment", sort=False):
        counts = runs.groupby("group").size()
        if len(counts) < 2:
            continue
        complete = counts.index[counts == counts.max()]
        means = runs.groupby("group")[["val_accuracy", "test_accuracy"]].mean().loc[complete]
        settings = label_settings(runs, apart_from=("seed",)).groupby(runs["group"]).first()
        best, best_on_test = str(means["val_accuracy"].idxmax()), str(means["test_accuracy"].idxmax())
        test = summarise(runs[runs["group"] == best], ["experiment"], "test_accuracy")
        test.insert(1, "setting", settings[best])
        test.insert(2, "settings", len(counts))
        test.insert(3, "complete", len(complete))
        test.insert(5, "val_accuracy", means["val_accuracy"].max())
        rows.append(test.assign(best_on_test=settings[best_on_test], best_on_test_mean=means["test_accuracy"].max()))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
