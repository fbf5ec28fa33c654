"""Any runs, any metric, over any param."""

from __future__ import annotations

import pandas as pd

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, select_published
from mnist_flow.analysis.runs import label_settings, list_metrics, list_params
from mnist_flow.analysis.style import build_title, describe_metric
from mnist_flow.analysis.trend import build_trend, list_tables, plot_trend
from mnist_flow.config.analyze import StudySection
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean


class Config(StudySection):
    """Any runs, any metric, by any param."""

    # Any metric that the runs have.
    metric: str
    # Params: the horizontal axis, and what tells lines apart; None: whatever else varies.
    x: str
    by: str | None
    # Value of `by`, or of `x` where nothing tells lines apart, that others are compared with; None: the first.
    reference: str | float | bool | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """`study.metric` over `study.x`; `study.by` tells lines apart, or whatever varies beside x and the seed.

    Raises:
        ConfigError: the runs have no such metric or param.
    """
    table = runs.table
    _check("metric", study.metric, list_metrics(table))
    _check("x", study.x, list_params(table))
    if study.by is None:
        setting = label_settings(table, apart_from=(study.x, "seed"))
        if setting.nunique() > 1 and setting.groupby(table[study.x], dropna=False).nunique().max() == 1:
            # What differs beside x belongs to its value, as an optimizer may to a network.
            setting = pd.Series("all runs", index=table.index)
    else:
        _check("by", study.by, list_params(table))
        setting = table[study.by].map(lambda value: f"{study.by}={value}")
    condition = "x" if study.by is None else "setting"
    reference = study.reference
    if study.by is not None and reference is not None:
        reference = f"{study.by}={reference}"
    trend = build_trend(
        table.assign(setting=setting, x=_fill(table[study.x])),
        study.metric,
        select_published(runs.published, study.metric, study.x),
        reference,
        condition,
    )
    title = build_title(f"{describe_metric(study.metric)} over {study.x}", table)
    shown = trend.reference if study.by is not None else f"{study.x}={trend.reference}"
    figure = plot_trend(trend, title, study.x, reference_label=str(shown))
    return Drawing({"": figure}, list_tables(trend, study.x), study.metric)


def _fill(column: pd.Series) -> pd.Series:
    """Runs without the param get a category of their own."""
    return column.astype(object).fillna("none") if column.isna().any() else column


def _check(key: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ConfigError(
            f"study.{key}={name}: the runs have no such {'metric' if key == 'metric' else 'param'}"
            f"{did_you_mean(name, known)} Choices: {' '.join(known)}"
        )
