"""The honest protocol: a setting is chosen on held-out images, and only its test accuracy counts."""

from __future__ import annotations

import logging

import pandas as pd

from mnist_flow.analysis.runs import check_name, label_settings, list_metrics
from mnist_flow.analysis.statistics import summarise
from mnist_flow.config.train import REPLICATED
from mnist_flow.runtime.terminal import count

log = logging.getLogger(__name__)


def choose_metric(table: pd.DataFrame, metric: str | None) -> str:
    """`metric`, or for None what settings are compared by: test accuracy, or validation accuracy of held-out images.

    Networks that draw images have losses in their place.

    Raises:
        ConfigError: the runs have no such metric.
    """
    if metric is not None:
        check_name("metric", metric, list_metrics(table))
        return metric
    has_accuracy = table["test_accuracy"].notna() if "test_accuracy" in table else pd.Series(False, index=table.index)
    measure, compared = ("accuracy", table[has_accuracy]) if has_accuracy.any() else ("loss", table)
    chosen = f"val_{measure}" if set(compared["data.validation"]) == {"holdout"} else f"test_{measure}"
    check_name("metric", chosen, list_metrics(table))
    return chosen


def choose_measured(table: pd.DataFrame, metric: str | None) -> tuple[str, pd.DataFrame]:
    """`choose_metric`, and the runs that have the metric; a warning says how many have none.

    Raises:
        ConfigError: the runs have no such metric.
    """
    chosen = choose_metric(table, metric)
    has_none = table[chosen].isna()
    for name, left_out in table[has_none].groupby("experiment", sort=False):
        log.warning("%s of experiment %s left out: without %s", count(len(left_out), "run"), name, chosen)
    return chosen, table[~has_none].reset_index(drop=True)


def build_selection(table: pd.DataFrame, *, min_settings: int = 2) -> pd.DataFrame:
    """The setting that each experiment with held-out images chooses, by its mean validation accuracy.

    Autoencoders, which have none, are chosen by the validation loss.

    Args:
        table: from `jobs.tables.build_run_table`.
        min_settings: leave out experiments with fewer; 1 keeps those that had nothing to choose.

    Returns:
        One row an experiment with held-out images and `min_settings` settings or more: experiment, setting, settings
        (how many there were), complete (how many of them have as many runs as the one with most; only these are chosen
        from, or a half-finished sweep would choose by luck), n, val_accuracy (mean), of the test accuracy mean, std,
        sem, ci_low, ci_high, min, max, and the setting that the test set itself would have chosen among the same runs
        (best_on_test) with its mean test accuracy (best_on_test_mean), which is optimistic. With autoencoders val_loss
        takes the place of val_accuracy, and all else is of the test loss. Runs without the two measures don't count.
    """
    rows = []
    for _, runs in table[table["data.validation"] == "holdout"].groupby("experiment", sort=False):
        measure = "accuracy" if runs.get("val_accuracy", pd.Series()).notna().any() else "loss"
        chosen_by, counted = f"val_{measure}", f"test_{measure}"
        if chosen_by not in runs:
            continue
        valued = runs.dropna(subset=[chosen_by, counted])
        counts = valued.groupby("group").size()
        if len(counts) < min_settings:
            continue
        complete = counts.index[counts == counts.max()]
        means = valued.groupby("group")[[chosen_by, counted]].mean().loc[complete]
        settings = label_settings(valued, apart_from=REPLICATED).groupby(valued["group"]).first()
        best, best_on_test = (
            str(means[name].idxmax() if measure == "accuracy" else means[name].idxmin())
            for name in (chosen_by, counted)
        )
        test = summarise(valued[valued["group"] == best], ["experiment"], counted)
        test.insert(1, "setting", settings[best])
        test.insert(2, "settings", len(counts))
        test.insert(3, "complete", len(complete))
        test.insert(list(test).index("mean"), chosen_by, means[chosen_by][best])
        rows.append(test.assign(best_on_test=settings[best_on_test], best_on_test_mean=means[counted][best_on_test]))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
