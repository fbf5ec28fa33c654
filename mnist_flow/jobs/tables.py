"""Runs and sweeps as tables: one row per run, per job, or per group of replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from mnist_flow.config.train import FOLD, INCIDENTAL, REPLICATED
from mnist_flow.jobs.grids import name_key
from mnist_flow.jobs.replicates import REPLICATES, average_seeds, describe_replicates

if TYPE_CHECKING:
    from mnist_flow.jobs.composition import Job
    from mnist_flow.jobs.plan import PlannedJob
    from mnist_flow.tracking import PastRun

# Metrics that are the results of a run, in the order of the tables' columns.
RESULTS = (
    "val_accuracy",
    "val_loss",
    "test_accuracy",
    "test_loss",
    "test_cross_entropy",
    "val_balanced_accuracy",
    "val_macro_f1",
    "test_balanced_accuracy",
    "test_macro_f1",
    "accuracy",
    "loss",
    "test_psnr",
    "test_ssim",
    "n_parameters",
    "selected_epoch",
    "fit_seconds",
)
# Begins the metrics of the epoch whose weights a run ended with; the plain name is the last epoch's.
_SELECTED = "selected_"


def select_epoch(metrics: Mapping[str, float]) -> dict[str, float]:
    """A finished run's metrics by their plain names; those of an epoch are the selected epoch's, not the last one's."""
    selected = {name for name in metrics if name.startswith(_SELECTED) and name != "selected_epoch"}
    last = {name: value for name, value in metrics.items() if name not in selected}
    return last | {name.removeprefix(_SELECTED): metrics[name] for name in selected}


def read_results(metrics: Mapping[str, float]) -> dict[str, float]:
    """Pick the results from a finished run's metrics; metrics of an epoch are taken from the selected epoch."""
    selected = select_epoch(metrics)
    return {name: selected[name] for name in RESULTS if name in selected}


def build_run_table(runs: Sequence[PastRun], experiments: Mapping[str, str]) -> pd.DataFrame:
    """One row a run, whatever sweep it belongs to.

    Args:
        runs: finished, the oldest first.
        experiments: names by id.

    Returns:
        Of runs of an experiment with the same fingerprint only the last. Columns: run_id, experiment, experiment_id,
        group, parent_run_id (None where there is none), every param by its config path and every metric by its plain
        name, see `select_epoch`, each sorted; texts that are numbers became numbers. The index counts rows.
    """
    last: dict[tuple[str, str], PastRun] = {}
    for run in runs:
        identity = run.experiment_id, run.fingerprint or run.run_id
        last.pop(identity, None)
        last[identity] = run
    about = pd.DataFrame(
        [
            (run.run_id, experiments[run.experiment_id], run.experiment_id, run.group, run.parent_run_id or None)
            for run in last.values()
        ],
        columns=["run_id", "experiment", "experiment_id", "group", "parent_run_id"],
    )
    # MLflow gives them in any order, and what is built on the table must not depend on it.
    params = pd.DataFrame([run.params for run in last.values()]).sort_index(axis=1).apply(_to_numbers)
    metrics = pd.DataFrame([select_epoch(run.metrics) for run in last.values()]).sort_index(axis=1)
    return pd.concat([about, params, metrics], axis=1)


def _to_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().sum() == column.notna().sum() else column


def find_varying(jobs: Sequence[Job]) -> list[str]:
    """List the config paths whose values differ among the jobs, the fold and the seed last."""
    keys = {key: None for job in jobs for key in job.params if not key.startswith(INCIDENTAL)}
    varying = [key for key in keys if len({str(job.params.get(key)) for job in jobs}) > 1]
    return [key for key in varying if key not in REPLICATED] + [key for key in (FOLD, "seed") if key in varying]


def find_telling(jobs: Sequence[Job]) -> list[str]:
    """List the config paths that tell jobs apart: those that do not follow from an option's name, see `find_differing`.

    A model's name is that of a preset, and says what all its keys are, unless the key was typed.
    """
    table = pd.DataFrame([{key: str(value) for key, value in job.params.items()} for job in jobs])
    typed = {key for job in jobs for key in map(name_key, job.overrides) if key.startswith("model.")}
    return [key for key in find_varying(jobs) if key in typed or find_differing(table, key).any()]


def find_differing(table: pd.DataFrame, key: str) -> pd.Series:
    """Whether each run differs from others in a param that does not follow from the name of an option.

    What follows is a key that one option alone has, with one value, such as `noise.level`. A model's params tell apart
    the runs of one model alone: models of different names differ in most of them.

    Args:
        table: a row a run, a column a param, by its config path.
        key: of them.
    """
    option = f"{key.partition('.')[0]}.name"
    same = pd.Series("", index=table.index)
    if key != option and option in table:
        names = table[option].fillna("none")
        if option == "model.name":
            same = names
        else:
            pairs = pd.DataFrame({"name": names, "value": table[key].where(table[key] != "None")}).drop_duplicates()
            if pairs["name"].isin(pairs.loc[pairs["value"].notna(), "name"]).sum() == 1:
                return pd.Series(False, index=table.index)
    return table[key].groupby(same).transform(lambda values: values.nunique(dropna=False) > 1).astype(bool)


def label_jobs(jobs: Sequence[Job]) -> dict[str, str]:
    """Name each job, by fingerprint, by the params in which it differs from the others: `reg=1e-05 seed=0`."""
    telling = find_telling(jobs)
    return {
        job.identity.fingerprint: " ".join(f"{key}={job.params[key]}" for key in telling if key in job.params)
        or job.config.model.name
        for job in jobs
    }


def build_grid(jobs: Sequence[Job]) -> pd.DataFrame:
    """Build a table with one row per job: its number, the params that vary, and its fingerprint."""
    fingerprints = [job.identity.fingerprint for job in jobs]
    return pd.DataFrame({"job": range(len(jobs)), **_list_varying(jobs), "fingerprint": fingerprints})


def build_summary(planned: Sequence[PlannedJob], outcomes: Sequence[str]) -> pd.DataFrame:
    """Build a table with one row per job: the params that vary, its outcome, its results, its run and its group.

    Args:
        planned: the jobs with their runs as they are now.
        outcomes: one per job: skipped, resumed, new, failed, missing or elsewhere.
    """
    jobs = [one.job for one in planned]
    metrics = [
        read_results(one.run.metrics) if one.run is not None and one.state == "finished" else {} for one in planned
    ]
    present = [name for name in RESULTS if any(name in row for row in metrics)]
    return pd.DataFrame(
        {
            **_list_varying(jobs),
            "outcome": list(outcomes),
            **{name: [row.get(name) for row in metrics] for name in present},
            "run_id": [one.run.run_id if one.run is not None else None for one in planned],
            "group": [job.identity.group for job in jobs],
        }
    )


def build_replicates(summary: pd.DataFrame) -> pd.DataFrame:
    """Build a table with one row per group of runs that differ only in seed and fold, from `build_summary`'s.

    Returns:
        The params that vary, but for seed and fold; n finished runs, or folds, see `average_seeds`, and then what was
        repeated as `replicates`; mean, std (sample standard deviation, ddof = 1) and sem (standard error of the mean)
        of each final metric, NaN where n does not allow it.
    """
    finished = summary.dropna(subset=["run_id"])
    finished = finished[~finished["outcome"].isin(["failed", "missing"])].drop_duplicates("run_id")
    keys = list(summary.columns[: list(summary.columns).index("outcome")])
    rows = []
    for group, runs in finished.groupby("group", sort=False):
        row = {key: runs[key].iloc[0] for key in keys if key not in REPLICATED}
        row["n"] = len(average_seeds(runs.assign(one=1.0), ["group"], "one"))
        if FOLD in runs:
            row[REPLICATES] = describe_replicates(runs, ["group"])[0]
        for name in RESULTS:
            if name in runs:
                values = average_seeds(runs, ["group"], name)[name]
                row |= {
                    f"{name}_mean": values.mean(),
                    f"{name}_std": values.std(ddof=1),
                    f"{name}_sem": values.sem(ddof=1),
                }
        rows.append({**row, "group": group})
    return pd.DataFrame(rows)


def _list_varying(jobs: Sequence[Job]) -> dict[str, list[Any]]:
    """List the columns of the params that vary; lists and dictionaries as text, since a cell holds one value."""

    def to_cell(value: object) -> object:
        return str(value) if isinstance(value, (list, dict)) else value

    return {key: [to_cell(job.params.get(key)) for job in jobs] for key in find_varying(jobs)}
