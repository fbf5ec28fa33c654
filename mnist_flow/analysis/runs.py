"""MLflow's table of runs → a tidy table: one row a run, one column a param or metric, numbers as numbers."""

from __future__ import annotations

import pandas as pd

from mnist_flow.config import INCIDENTAL

# The last is a param that `mlflow run` logs.
_INCIDENTAL = (*INCIDENTAL, "overrides")


def build_run_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Tidy what `tracking.fetch_runs` returned.

    Args:
        runs: columns run_id, start_time, params.*, metrics.*, tags.*.

    Returns:
        One row a distinct run: of runs with the same fingerprint only the last. Columns: run_id, group, parent_run_id,
        every param by its config path and every metric by its name; texts that are numbers became numbers.
    """
    columns = {"run_id": runs["run_id"], "group": runs["tags.mnist_flow.group"]}
    parents = "tags.mlflow.parentRunId"
    columns["parent_run_id"] = runs[parents] if parents in runs else pd.Series(None, index=runs.index, dtype=object)
    for kind in ("params.", "metrics."):
        columns |= {
            name.removeprefix(kind): _to_numbers(runs[name]) for name in map(str, runs) if name.startswith(kind)
        }
    last = runs.sort_values("start_time").drop_duplicates("tags.mnist_flow.fingerprint", keep="last").index
    return pd.DataFrame(columns).loc[last].reset_index(drop=True)


def label_settings(table: pd.DataFrame, apart_from: tuple[str, ...]) -> pd.Series:
    """What tells the runs' settings apart, one text a run: `lenet5, epochs=20`; the model's name always stands first.

    Args:
        table: from `build_run_table`.
        apart_from: params that do not count, such as the one on the horizontal axis and the seed.
    """
    metrics = {"loss", "accuracy", "learning_rate", "fit_seconds", "n_parameters"}
    varying = [
        name
        for name in map(str, table)
        if name not in {"run_id", "group", "parent_run_id", "model.name", *apart_from, *metrics}
        and not name.startswith(("val_", "test_", "selected_", *_INCIDENTAL))
        and _varies(table, name)
    ]
    extra = table[varying].apply(
        lambda row: "".join(f", {key}={row[key]}" for key in varying if pd.notna(row[key])), axis=1
    )
    return table["model.name"] + (extra if varying else "")


def _varies(table: pd.DataFrame, name: str) -> bool:
    # Models of different names differ in most of their params; only within one name do these tell the settings apart.
    if name.startswith("model."):
        return bool((table.groupby("model.name")[name].nunique(dropna=False) > 1).any())
    return table[name].nunique(dropna=False) > 1


def _to_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().sum() == column.notna().sum() else column
