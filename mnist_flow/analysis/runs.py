"""Which columns of a table of runs are params or metrics, and what tells its settings apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from mnist_flow.config.train import FOLD, INCIDENTAL, REPLICATED
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.tables import find_differing
from mnist_flow.runtime.suggestions import did_you_mean

# The last is a param that `mlflow run` logs.
_INCIDENTAL = (*INCIDENTAL, "overrides")
# Columns of the table that are neither param nor metric.
_ABOUT = ("run_id", "experiment", "experiment_id", "group", "parent_run_id")


def list_metrics(table: pd.DataFrame) -> list[str]:
    """Metrics among the columns of `jobs.tables.build_run_table`."""
    return [name for name in map(str, table) if _is_metric(name)]


def list_params(table: pd.DataFrame) -> list[str]:
    """Params among the columns of `jobs.tables.build_run_table`, but for those that change no result."""
    return [
        name
        for name in map(str, table)
        if name not in _ABOUT and not _is_metric(name) and not name.startswith(_INCIDENTAL)
    ]


def check_name(key: str, name: str, known: Sequence[str]) -> None:
    """Refuse a metric or param that a key of a study names and the runs do not have.

    Raises:
        ConfigError: with the choices.
    """
    if name not in known:
        raise ConfigError(
            f"study.{key}={name}: the runs have no such {'metric' if key == 'metric' else 'param'}"
            f"{did_you_mean(name, known)} Choices: {' '.join(known)}"
        )


def label_settings(table: pd.DataFrame, apart_from: tuple[str, ...]) -> pd.Series:
    """What tells the runs' settings apart, one text a run: `lenet5, epochs=20`; the model's name always stands first.

    Of an option that is chosen by name, such as a noise, a key is not told that it alone has, with one value.

    Args:
        table: from `jobs.tables.build_run_table`.
        apart_from: params that do not count, such as the one on the horizontal axis and the seed.
    """
    labels = table["model.name"].copy()
    # An option stands before its keys, which can begin with any letter.
    for key in sorted(list_varying(table, ("model.name", *apart_from)), key=_get_group_and_key):
        told = find_differing(table, key) & table[key].notna() & (table[key] != "None")
        labels[told] += f", {key}=" + table.loc[told, key].map(describe_value)
    return labels


def list_varying(table: pd.DataFrame, apart_from: tuple[str, ...]) -> list[str]:
    """Params of which the runs have several values; those that follow from the name of an option are left out."""
    return [name for name in list_params(table) if name not in apart_from and find_differing(table, name).any()]


def label_panels(table: pd.DataFrame) -> pd.Series:
    """One text a run for its panel: the experiment, and what tells the settings in it apart, but for seed and fold.

    Args:
        table: from `jobs.tables.build_run_table`.
    """
    labels = []
    for experiment, runs in table.groupby("experiment", sort=False):
        settings = label_settings(runs, apart_from=REPLICATED)
        # Within one experiment the model says nothing unless it varies.
        told = settings if runs["model.name"].nunique() > 1 else settings.str.partition(", ")[2]
        labels.append(told.map(lambda setting, name=experiment: f"{name}: {setting}" if setting else str(name)))
    return pd.concat(labels).reindex(table.index)


def list_panels(table: pd.DataFrame) -> pd.DataFrame:
    """The columns run_id, panel, see `label_panels`, and perhaps data.fold, to be merged with what was fetched."""
    return table[["run_id", *({FOLD} & set(table))]].assign(panel=label_panels(table))


def describe_value(value: object) -> str:
    """A param as it is typed: `5`, which a column with missing values holds as 5.0; `none` where it is missing."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        return "none" if math.isnan(value) else f"{value:.12g}"
    return str(value)


def is_same_value(cell: object, value: object) -> bool:
    """Whether a param has a value that a preset names; texts and lists are compared as texts, as MLflow has them."""
    if isinstance(cell, Real) and isinstance(value, Real):
        return math.isclose(cell, value)
    return str(cell) == str(value)


def _get_group_and_key(name: str) -> tuple[str, bool, str]:
    group, _, key = name.partition(".")
    return group, key != "name", key


def _is_metric(name: str) -> bool:
    return name in {"loss", "accuracy", "learning_rate", "fit_seconds", "n_parameters", "selected_epoch"} or (
        name.startswith(("val_", "test_", "system/"))
    )
