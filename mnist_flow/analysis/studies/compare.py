"""Any metric of any runs over any param.

A study that is no more than this is a file in conf/study that inherits compare.yaml.
"""

from __future__ import annotations

from typing import Literal

import pandas as pd

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, select_published
from mnist_flow.analysis.runs import check_name, describe_value, label_settings, list_params
from mnist_flow.analysis.selection import choose_metric
from mnist_flow.analysis.style import build_title, describe_metric
from mnist_flow.analysis.trend import build_trend, plot_trend
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import REPLICATED


class Config(StudySection):
    """What is on the axes, what tells lines apart, and how the figure is labelled."""

    # Any metric that the runs have; None: what settings are compared by.
    metric: str | None
    # Params: the horizontal axis, and what tells lines apart; None: whatever else varies.
    x: str
    by: str | None
    # Value of `by`, or of `x` where nothing tells lines apart, that others are compared with; None: the first.
    reference: str | int | float | bool | None
    # Of the figure and of the horizontal axis; None: by the names of metric and param, and as the grid is.
    title: str | None
    x_label: str | None
    scale: Literal["linear", "log"] | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """`study.metric` over `study.x`; `study.by` tells lines apart, or whatever varies beside x, seed and fold.

    Raises:
        ConfigError: the runs have no such metric or param.
    """
    table, metric = runs.table, choose_metric(runs.table, study.metric)
    check_name("x", study.x, list_params(table))
    x, reference, condition = _fill(table[study.x]), study.reference, "x"
    if study.by is None:
        setting = _label_lines(table, study.x)
    else:
        check_name("by", study.by, list_params(table))
        setting, condition = table[study.by].map(lambda value: f"{study.by}={describe_value(value)}"), "setting"
        reference = None if reference is None else f"{study.by}={describe_value(reference)}"
    published = select_published(runs.published, metric, study.x)
    trend = build_trend(table.assign(setting=setting, x=x), metric, published, reference, condition)
    shown = trend.reference
    if study.by is None:
        shown = f"{study.x}={describe_value(shown)}"
    figure = plot_trend(
        trend,
        build_title(study.title or f"{describe_metric(metric)} over {study.x}", table),
        study.x_label or study.x,
        None if study.scale is None else study.scale == "log",
        str(shown),
    )
    tables = {"": trend.summary, "differences": trend.differences}
    named = {what: table.rename(columns={"x": study.x}) for what, table in tables.items() if len(table)}
    return Drawing({"": figure}, named, metric)


def _label_lines(table: pd.DataFrame, x: str) -> pd.Series:
    """What tells lines apart, one text a run: whatever varies beside x, seed and fold."""
    setting = label_settings(table, apart_from=(x, *REPLICATED))
    is_category = not pd.api.types.is_numeric_dtype(table[x])
    if is_category and setting.nunique() > 1 and setting.groupby(table[x], dropna=False).nunique().max() == 1:
        # What differs beside a category belongs to it, as an optimizer may to a network.
        return pd.Series("all runs", index=table.index)
    return setting


def _fill(column: pd.Series) -> pd.Series:
    """Runs without the param get a category of their own."""
    return column.astype(object).fillna("none") if column.isna().any() else column
