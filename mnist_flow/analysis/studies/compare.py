"""Any metric of any runs over any param.

A study that is no more than this is a file in conf/study that inherits compare.yaml.
"""

from __future__ import annotations

import textwrap
from typing import Literal

import pandas as pd

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, select_published
from mnist_flow.analysis.runs import check_name, describe_value, label_settings, list_params, list_varying
from mnist_flow.analysis.selection import choose_measured
from mnist_flow.analysis.style import build_title, describe_metric
from mnist_flow.analysis.trend import build_trend, plot_trend
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import REPLICATED

# Of a line below an axis.
_LETTERS = 100


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
    metric, table = choose_measured(runs.table, study.metric)
    check_name("x", study.x, list_params(table))
    x, reference, condition = _fill(table[study.x]), study.reference, "x"
    x_label = study.x_label or study.x
    if study.by is None:
        setting = label_settings(table, apart_from=(study.x, *REPLICATED))
        if _belongs_to(setting, table[study.x]):
            setting = pd.Series("all runs", index=table.index)
            x_label += _describe_others(table, study.x)
    else:
        check_name("by", study.by, list_params(table))
        setting, condition = table[study.by].map(lambda value: f"{study.by}={describe_value(value)}"), "setting"
        x_label += _describe_others(table, study.x, study.by)
        reference = None if reference is None else f"{study.by}={describe_value(reference)}"
    published = select_published(runs.published, metric, study.x)
    trend = build_trend(table.assign(setting=setting, x=x), metric, published, reference, condition)
    shown = trend.reference
    if study.by is None:
        shown = f"{study.x}={describe_value(shown)}"
    figure = plot_trend(
        trend,
        build_title(study.title or f"{describe_metric(metric)} over {study.x}", table),
        x_label,
        None if study.scale is None else study.scale == "log",
        str(shown),
    )
    tables = {"": trend.summary, "differences": trend.differences}
    named = {what: table.rename(columns={"x": study.x}) for what, table in tables.items() if len(table)}
    return Drawing({"": figure}, named, metric)


def _belongs_to(setting: pd.Series, x: pd.Series) -> bool:
    """Whether all else that differs goes with a category, as an optimizer may with a network."""
    is_category = not pd.api.types.is_numeric_dtype(x)
    return is_category and setting.nunique() > 1 and setting.groupby(x, dropna=False).nunique().max() == 1


def _describe_others(table: pd.DataFrame, *shown: str) -> str:
    """A second line for the label of an axis: which params of all runs differ beside those shown; perhaps empty."""
    others = [name for name in list_varying(table, (*shown, *REPLICATED)) if table[name].notna().all()]
    return textwrap.fill(f"they differ in {', '.join(others)}, too", _LETTERS, initial_indent="\n") if others else ""


def _fill(column: pd.Series) -> pd.Series:
    """Runs without the param get a category of their own."""
    return column.astype(object).fillna("none") if column.isna().any() else column
