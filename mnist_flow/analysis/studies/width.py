"""How the width of one hidden layer changes the result: report 000-2C."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.studies import compare
from mnist_flow.errors import ConfigError

_PARAM = "model.hidden_units"


class Config(compare.Config):
    """The keys of `compare`, with the hidden units as x."""

    x: Literal["model.hidden_units"]


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A line a learning rate over the hidden units, with the numbers of parameters above.

    Raises:
        ConfigError: a network has not one hidden layer.
    """
    table = runs.table.assign(**{_PARAM: read_units(runs.table)})
    published = runs.published.assign(at=runs.published["at"].map(_read_setting))
    drawing = compare.draw(replace(runs, table=table, published=published), study)
    counts = table.groupby(_PARAM)["n_parameters"].first()
    _name_parameters(drawing.figures[""], counts)
    drawing.tables[""].insert(2, "n_parameters", drawing.tables[""][_PARAM].map(counts).astype(int))
    return drawing


def read_units(table: pd.DataFrame) -> pd.Series:
    """Units of the only hidden layer: 100 for "[100]".

    Raises:
        ConfigError: a network has another number of layers.
    """
    text = table.get(_PARAM, pd.Series("none", index=table.index)).astype(str)
    units = text.str.extract(r"^\[(\d+)\]$", expand=False)
    if units.isna().any():
        row = table[units.isna()].iloc[0]
        raise ConfigError(
            f"run {row['run_id']} ({row['model.name']}): has not one hidden layer ({_PARAM}={row.get(_PARAM)}); "
            "leave it out with study.filter"
        )
    return units.astype(float)


def _read_setting(at: dict[str, float | str]) -> dict[str, float | str]:
    return {key: float(str(value).strip("[]")) if key == _PARAM else value for key, value in at.items()}


def _name_parameters(figure: Figure, counts: pd.Series) -> None:
    """Every width below, and above the number of its parameters."""
    above = figure.axes[0].secondary_xaxis("top")
    above.set_xticks(list(counts.index), [f"{count:,.0f}" for count in counts], rotation=35, ha="left", fontsize=8)
    above.set_xlabel("parameters", fontsize=9)
    below = figure.axes[-1].xaxis
    below.set_ticks(list(counts.index), [f"{units:.0f}" for units in counts.index])
    for axis in (above.xaxis, below):
        axis.set_minor_locator(NullLocator())
