"""What a study asks of the tracking server: its runs, what the reports printed of them, and what is missing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
import yaml

from mnist_flow import tracking
from mnist_flow.analysis.runs import label_panels
from mnist_flow.config.analyze import AnalyzeConfig
from mnist_flow.config.overrides import begin_command, quote_argument, type_override, write_sweep_command
from mnist_flow.config.presets import list_presets, load_preset
from mnist_flow.errors import TrackingError
from mnist_flow.jobs.tables import build_run_table
from mnist_flow.runtime.suggestions import did_you_mean
from mnist_flow.runtime.terminal import count

log = logging.getLogger(__name__)

# Maximum number of jobs that a message names.
_MAX_NAMED = 5


@dataclass(frozen=True)
class StudyRuns:
    """The runs that a study compares."""

    # One row a run, see `jobs.tables.build_run_table`; index 0, 1, …
    table: pd.DataFrame
    # One row a printed value, see `build_published`.
    published: pd.DataFrame
    # What is not there, a line each, with the command that makes it.
    missing: list[str]


def fetch_study_runs(config: AnalyzeConfig) -> StudyRuns:
    """Ask the tracking server for the runs of a study.

    What is missing where other runs are there is also logged as a warning.

    Raises:
        TrackingError: the server does not answer, or has none of the runs.
    """
    tracking.check_filter("study.filter", config.study.filter)
    names = choose_experiments(config)
    known = tracking.list_experiments(names)
    wanted = {name: known[name] for name in names if name in known}
    ids = list(wanted.values())
    finished = tracking.fetch_runs(ids)
    runs = tracking.fetch_runs(ids, config.study.filter) if config.study.filter else finished
    if finished and not runs:
        raise TrackingError(f"study.filter={config.study.filter}: none of the {len(finished)} finished runs matches")
    found = {run.experiment_id for run in runs}
    missing = [_describe_absent(name, known) for name in names if wanted.get(name) not in found]
    if not runs:
        raise TrackingError("; ".join(missing))
    # An experiment that is named absent has its command already.
    present = [experiment_id for experiment_id in ids if experiment_id in found]
    missing += _describe_unfinished(present, {run.fingerprint for run in finished})
    for line in missing:
        log.warning("%s", line)
    table = build_run_table(runs, {experiment_id: name for name, experiment_id in wanted.items()})
    table = table.sort_values(
        "experiment", key=lambda column: column.map(names.index), kind="stable", ignore_index=True
    )
    return StudyRuns(table, build_published(table), missing)


def choose_experiments(config: AnalyzeConfig) -> list[str]:
    """Names of the MLflow experiments to compare.

    Those of the study, unless `tracking.experiment_name` names one; MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME win.
    """
    typed = config.tracking.experiment_name
    return tracking.list_chosen_experiments([typed] if typed is not None else config.study.experiments)


def build_published(table: pd.DataFrame) -> pd.DataFrame:
    """What the reports printed of the experiments that are presets, where the data is MNIST.

    Args:
        table: from `build_run_table`.

    Returns:
        One row a printed value: experiment, row, statement, at (config paths and values), metric, value, mean_of.
    """
    rows = []
    for name in table.loc[table["data.name"] == "mnist", "experiment"].unique():
        results = load_preset(name).published.results if name in list_presets() else []
        for result in results:
            about = result.model_dump()
            rows += [{"experiment": name, **about, "value": value} for value in about.pop("values")]
    return pd.DataFrame(rows, columns=["experiment", "row", "statement", "at", "metric", "mean_of", "value"])


def select_published(published: pd.DataFrame, metric: str, x: str | None = None) -> pd.DataFrame:
    """The printed values of a metric, each with the value `x` of a param.

    Where the test set is the validation set, what was printed is both.

    Args:
        published: from `build_published`.
        metric: test_accuracy, val_accuracy, test_loss, …
        x: a config path; None: all, without the column x.
    """
    printed = published[published["metric"] == metric.replace("val_", "test_")]
    if x is None:
        return printed
    at = printed["at"].map(lambda setting: setting.get(x, np.nan))
    return printed.assign(x=at).dropna(subset="x")


def fetch_measured(runs: StudyRuns, measure: str, hint: str = "") -> pd.DataFrame:
    """The tables of a measure of the study's runs, see `tracking.fetch_tables`, with what tells lines apart as `model`.

    Runs that are not measured are missing from what the study draws.

    Raises:
        TrackingError: none of the runs is measured; `hint` ends the commands that measure them.
    """
    run_ids = list(runs.table["run_id"])
    experiment_ids = sorted(set(runs.table["experiment_id"]))
    measured = tracking.fetch_tables(measure, experiment_ids, run_ids)
    if measured.empty:
        raise TrackingError(describe_unmeasured(runs, measure, hint))
    has_none = set(run_ids) - set(measured["run_id"])
    if has_none:
        # Of those whose table can't be had a warning has told.
        has_none -= tracking.fetch_evaluations(measure, experiment_ids, sorted(has_none)).keys()
    for name, absent in runs.table[runs.table["run_id"].isin(has_none)].groupby("experiment", sort=False):
        command = _write_measuring_command(measure, str(name), hint)
        line = f"experiment '{name}': {count(len(absent), 'run')} not measured yet; measure: {command}"
        runs.missing.append(line)
        log.warning("%s", line)
    labels = dict(zip(run_ids, label_panels(runs.table), strict=True))
    return measured.assign(model=measured["run_id"].map(labels))


def describe_unmeasured(runs: StudyRuns, measure: str, hint: str = "") -> str:
    """Describe why a study of evaluations has nothing to draw, with the commands that make them; `hint` ends each."""
    names = list(runs.table["experiment"].unique())
    commands = [_write_measuring_command(measure, name, hint) for name in names]
    return f"study={measure}: no run of {' '.join(names)} is measured; measure them: {' && '.join(commands)}"


def _write_measuring_command(measure: str, experiment: str, hint: str) -> str:
    return (
        f"{begin_command('evaluate')} measure={measure} {type_override('tracking.experiment_name', experiment)}{hint}"
    )


def _describe_absent(name: str, known: Mapping[str, str]) -> str:
    if name in list_presets():
        return f"experiment '{name}': no finished runs at {tracking.get_uri()}; make them: {load_preset(name).command}"
    meant = did_you_mean(name, sorted({*known, *list_presets()} - {name})).rstrip(".")
    command = f"python -m mnist_flow.train -m reg=1e-6,1e-5,1e-4 {type_override('tracking.experiment_name', name)}"
    return f"experiment '{name}': no finished runs at {tracking.get_uri()}{meant or ';'} make some: {command}"


def _describe_unfinished(experiment_ids: Sequence[str], finished: set[str]) -> Iterator[str]:
    """Describe each sweep that has jobs without a finished run, one line each.

    Args:
        experiment_ids: where to look.
        finished: fingerprints of finished runs.
    """
    sweeps = {one.run_id: one for one in tracking.fetch_sweeps(experiment_ids)}
    for run_id, text in tracking.fetch_texts(list(sweeps), "sweep/grid.json"):
        sweep = sweeps[run_id]
        if isinstance(text, TrackingError):
            if sweep.status != "FINISHED":
                yield (
                    f"sweep {run_id} is {sweep.status} and has no list of its jobs; what may be missing: "
                    f"{_describe_sweep_command(sweep)}"
                )
            continue
        try:
            grid = json.loads(text)
            jobs = pd.DataFrame(grid["data"], columns=grid["columns"])
            open_jobs = jobs[~jobs["fingerprint"].isin(finished)]
            varying = open_jobs.drop(columns=["job", "fingerprint"])
        except (ValueError, KeyError, TypeError):
            yield (
                f"sweep {run_id}: its artifact sweep/grid.json, the list of its jobs, is damaged; what may be missing: "
                f"{_describe_sweep_command(sweep)}"
            )
            continue
        if len(open_jobs):
            named = [
                " ".join(f"{name}={value}" for name, value in row.items())
                for _, row in varying.astype(object).iterrows()
            ]
            shown = "; ".join(named[:_MAX_NAMED]) + ("; …" if len(named) > _MAX_NAMED else "")
            yield (
                f"{len(open_jobs)} of {len(jobs)} jobs of sweep {run_id} are not finished ({shown}); make them: "
                f"{_describe_sweep_command(sweep)}"
            )


def _describe_sweep_command(sweep: tracking.PastSweep) -> str:
    """The command that resumes a sweep, quoted for a shell."""
    ((_, text),) = tracking.fetch_texts([sweep.run_id], "sweep/overrides.yaml")
    with suppress(yaml.YAMLError):
        if isinstance(text, str) and isinstance(typed := yaml.safe_load(text), list):
            return write_sweep_command(" ".join(map(quote_argument, map(str, typed))))
    return write_sweep_command(sweep.overrides)
