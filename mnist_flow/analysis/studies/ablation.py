"""What each change is worth: how far a setting with one key or several changed is from the reference, seed by seed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.runs import describe_value, list_params
from mnist_flow.analysis.selection import choose_measured
from mnist_flow.analysis.statistics import compare_paired, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import REPLICATED
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.terminal import format_mean

_REFERENCE = "reference"
# Between the changes of a setting.
_AND = " + "
# Of a label; what is longer runs on in the next line.
_LETTERS = 44


class Config(StudySection):
    # Any metric that the runs have; None: what settings are compared by.
    metric: str | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A row a changed setting: its difference from the reference, which is the setting that fewest keys part from all.

    Raises:
        ConfigError: the runs have one setting only, or no such metric.
    """
    metric, table = choose_measured(runs.table, study.metric)
    table = table.assign(changed=label_changes(table))
    summary = summarise(table, ["changed"], metric)
    differences = compare_paired(table, [], "changed", _REFERENCE, metric).drop(columns="reference")
    title = style.build_title("What each change is worth", table)
    figure = plot_differences(differences, summary, metric, title, describe_reference(table))
    return Drawing({"": figure}, {"": summary, "differences": differences}, metric)


def label_changes(table: pd.DataFrame) -> pd.Series:
    """What tells each run's setting from the reference: `reference`, `schedule=constant`, `reg=0 + epochs=10`.

    Args:
        table: from `jobs.tables.build_run_table`; one setting of it is the reference: the one from which all others
            together differ in the fewest params, the first of several.

    Raises:
        ConfigError: there is one setting only.
    """
    params = table[[name for name in list_params(table) if name not in REPLICATED]].map(describe_value)
    varying = params.loc[:, params.nunique() > 1]
    if varying.empty:
        raise ConfigError("study=ablation: the runs have one setting only; it needs a reference and changed settings")
    settings = varying.drop_duplicates()
    distances = [int((settings != one).to_numpy().sum()) for _, one in settings.iterrows()]
    reference = settings.iloc[distances.index(min(distances))]

    def describe(one: pd.Series) -> str:
        changed = one[(one != reference) & (one != "none")]
        return _AND.join(f"{_shorten(str(key))}={value}" for key, value in changed.items()) or _REFERENCE

    return varying.apply(describe, axis=1)


def describe_reference(table: pd.DataFrame) -> str:
    """The reference's value of each key that is changed, as it is typed, and its model.

    Args:
        table: with the column `changed`, from `label_changes`.
    """
    changes = table.loc[table["changed"] != _REFERENCE, "changed"].str.split(_AND, regex=False).explode()
    typed = {change.partition("=")[0] for change in changes}
    reference = table[table["changed"] == _REFERENCE].iloc[0]
    keys = [name for name in list_params(table) if _shorten(name) in typed | {"model"}]
    told = {_shorten(key): describe_value(reference[key]) for key in keys}
    return " ".join(f"{key}={value}" for key, value in told.items() if value != "none")


def _shorten(key: str) -> str:
    """`schedule` for `schedule.name`, as it is typed."""
    return key.removesuffix(".name")


def plot_differences(
    differences: pd.DataFrame, summary: pd.DataFrame, metric: str, title: str, reference_setting: str
) -> Figure:
    """Plot the mean difference of each changed setting with its 95 % interval, single changes first.

    A setting that has the changes of the one above it, and further ones, is told by these: `… + reg=0`.

    Args:
        differences: changed, n, difference, ci_low, ci_high, from `statistics.compare_paired`.
        summary: changed, n, mean, std, from `statistics.summarise`; has the reference, too.
        metric: of both.
        reference_setting: what the reference is, for the label of the axis.
    """
    n_changes = differences["changed"].str.count(re.escape(_AND))
    rows = differences.assign(n_changes=n_changes).sort_values(["n_changes", "difference"], ascending=[False, True])
    rows = rows.merge(summary[["changed", "mean", "std"]], on="changed", suffixes=("_difference", ""))
    scale, unit = (100, "points") if style.is_accuracy(metric) else (1, "")
    told = _leave_out_those_above(list(rows["changed"])[::-1])[::-1]
    labels = ["\n".join(textwrap.wrap(text, _LETTERS)) for text in told]
    # Inches, so that a label of several lines has its room.
    heights = np.array([0.22 + 0.16 * (label.count("\n") + 1) for label in labels])
    places = heights.cumsum() - heights / 2
    figure = style.make_figure(8.5, 1.8 + heights.sum(), title)
    axes = figure.subplots()
    low, middle, high = (scale * rows[name] for name in ("ci_low", "difference", "ci_high"))
    axes.errorbar(
        middle,
        places,
        xerr=np.nan_to_num([middle - low, high - middle]),
        color=style.COLORS[0],
        marker="o",
        markersize=5,
        linestyle="none",
        capsize=3,
    )
    axes.axvline(0, color="0.35", linewidth=1)
    axes.set_yticks(places, labels, fontsize=9)
    axes.set_ylim(0, heights.sum())
    axes.grid(axis="x", alpha=0.3)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(places, [_describe_mean(row, metric) for _, row in rows.iterrows()], fontsize=8)
    reference = summary[summary["changed"] == _REFERENCE].iloc[0]
    of_what = f"difference{f' in {unit}' if unit else ''} of {style.describe_metric(metric)}"
    axes.set_xlabel(
        f"{of_what} from the reference, {_describe_mean(reference, metric)}:\n"
        f"{textwrap.fill(reference_setting, 2 * _LETTERS)}\n"
        f"mean and 95 % interval of pairs with the same seed, {style.describe_n(summary)}\n"
        "right: mean ± sample standard deviation",
        fontsize=9,
    )
    return figure


def _leave_out_those_above(labels: Sequence[str]) -> list[str]:
    """Shorten the labels of settings, from top to bottom, by the changes that they share with the one above."""
    told, above = [], set[str]()
    for label in labels:
        changes = label.split(_AND)
        further = [change for change in changes if change not in above]
        continues = len(above) > 1 and above < set(changes)
        told.append(_AND.join(["…", *further]) if continues else label)
        above = set(changes)
    return told


def _describe_mean(row: pd.Series, metric: str) -> str:
    scale, form, unit = (100, ".2f", " %") if style.is_accuracy(metric) else (1, ".4f", "")
    return format_mean(scale * row["mean"], scale * row["std"], form, unit)
