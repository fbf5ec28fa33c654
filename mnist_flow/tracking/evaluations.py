"""Logged models, and the evaluation runs that measure them anew: who can be measured, what is measured, the tables."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import pandas as pd
from mlflow.entities import Run

from mnist_flow.config.overrides import begin_command, type_override
from mnist_flow.config.train import FOLD
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.tracking import names
from mnist_flow.tracking.artifacts import describe_run_move, fetch_texts
from mnist_flow.tracking.missing import describe_missing_run, fetch_run_or_none
from mnist_flow.tracking.past import search, search_finished_training
from mnist_flow.tracking.server import check_store_is_there, clear_errors, may_pass, shorten

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

_TABLE = "tables/{}.json"
# What `fetch_tables` says of the measured runs, beside the table's own columns.
_PARAMS = ("model.name", "seed", "data.name", "data.validation")


@dataclass(frozen=True)
class LoggedRun:
    """A finished training run and its logged model."""

    run_id: str
    name: str
    experiment_id: str
    model_id: str
    data_digest: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def fetch_logged_run(run_id: str) -> LoggedRun:
    """One finished training run with a model.

    Raises:
        TrackingError: the server does not answer.
        RunError: there is no such run, or it can't be measured.
    """
    check_store_is_there()
    with clear_errors():
        run = fetch_run_or_none(run_id)
    if run is None:
        raise RunError(f"run {run_id}: {describe_missing_run()}")
    return _describe(run)


def fetch_logged_runs(experiment_id: str, extra_filter: str | None) -> tuple[list[LoggedRun], list[str]]:
    """The finished training runs of an experiment, oldest first.

    Args:
        experiment_id: where to look.
        extra_filter: a further condition in MLflow's filter language.

    Returns:
        Those with a model, and a line for each of the others.

    Raises:
        TrackingError: the server does not answer, or the filter is malformed.
    """
    found, troubles = [], []
    for run in search_finished_training(experiment_id, extra_filter):
        try:
            found.append(_describe(run))
        except RunError as error:
            troubles.append(str(error))
    return found, troubles


def load_model(run: LoggedRun) -> keras.Model:
    """The logged model of a run. Imports TensorFlow.

    Raises:
        TrackingError: the server does not answer.
        RunError: the model can't be loaded.
    """
    import mlflow.tensorflow

    try:
        with tempfile.TemporaryDirectory(prefix="mnist_flow_") as folder:
            model: keras.Model = mlflow.tensorflow.load_model(f"models:/{run.model_id}", dst_path=folder)
            return model
    except Exception as error:
        if may_pass(error):
            with clear_errors():
                raise
        if move := describe_run_move(run.run_id):
            raise RunError(f"run {run.run_id}: its artifacts {move}") from error
        # Whatever is wrong with the files, Keras and MLflow raise errors of many kinds.
        raise RunError(
            f"run {run.run_id}: its model can't be loaded ({shorten(error)}); if its files are gone, "
            f"{_describe_retraining(run.run_id)}"
        ) from error


def fetch_tables(measure: str, experiment_ids: Sequence[str], run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The tables of finished evaluations, one below the other; of each measured run all conditions it was measured at.

    A condition that was measured several times is there as it was measured last. One search an experiment, and a
    download an evaluation. A table that can't be had is left out, and a warning names it. Imports no TensorFlow.

    Args:
        measure: its name; its table is `tables/{measure}.json` and has a column `n`.
        experiment_ids: where to look.
        run_ids: of the measured training runs; None: all.

    Returns:
        In the order of `run_ids`, or the oldest evaluation first. Columns run_id (of the training run), those of the
        measure, n, accuracy, standard_error, and of the training run model.name, seed, data.name, data.validation and,
        if there are folds, data.fold.
        Without rows or columns where nothing is measured.

    Raises:
        TrackingError: the server does not answer, or none of the tables can be had.
    """
    evaluations = _search_evaluations(measure, experiment_ids, run_ids)
    if not evaluations:
        return pd.DataFrame()
    tables = _fetch_each_table([run for runs in evaluations.values() for run in runs], measure)
    order = dict.fromkeys(evaluations if run_ids is None else run_ids)
    merged = []
    for run_id in order:
        if readable := [run for run in evaluations.get(run_id, []) if run.info.run_id in tables]:
            params = {name: readable[-1].data.params[name] for name in _PARAMS}
            table = _merge_tables([tables[run.info.run_id] for run in readable])
            numbers = {"seed": int(params["seed"])}
            if (fold := readable[-1].data.params.get(FOLD)) is not None:
                numbers[FOLD] = int(fold)
            merged.append(table.assign(run_id=run_id, **params | numbers))
    return pd.concat(merged, ignore_index=True)


def fetch_evaluations(measure: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Run ids of finished evaluations, oldest first, by the id of the training run measured; a search an experiment.

    Args:
        measure: by its name.
        experiment_ids: where to look.
        run_ids: of the training runs.

    Returns:
        In the order of `run_ids`, without those that are not measured.

    Raises:
        TrackingError: the server does not answer.
    """
    found = _search_evaluations(measure, experiment_ids, run_ids)
    return {run_id: [run.info.run_id for run in found[run_id]] for run_id in run_ids if run_id in found}


def _search_evaluations(
    measure: str, experiment_ids: Sequence[str], run_ids: Sequence[str] | None
) -> dict[str, list[Run]]:
    """The finished evaluations, oldest first, by the id of the training run measured; `run_ids` None: of all."""
    wanted = None if run_ids is None else set(run_ids)
    conditions = (
        f"tags.`{names.KIND_TAG}` = 'evaluation' and tags.`{names.MEASURE_TAG}` = '{measure}' "
        "and attributes.status = 'FINISHED'"
    )
    evaluations: dict[str, list[Run]] = {}
    for experiment_id in experiment_ids:
        for run in search(experiment_id, conditions, ["attributes.start_time ASC"]):
            measured = run.data.tags[names.MEASURED_RUN_TAG]
            if wanted is None or measured in wanted:
                evaluations.setdefault(measured, []).append(run)
    return evaluations


def _fetch_each_table(evaluations: Sequence[Run], measure: str) -> dict[str, pd.DataFrame]:
    """The tables that can be had, by the evaluation's run id.

    Raises:
        TrackingError: none can be had.
    """
    path = _TABLE.format(measure)
    tables: dict[str, pd.DataFrame] = {}
    troubles = []
    for run, (run_id, text) in zip(
        evaluations, fetch_texts([run.info.run_id for run in evaluations], path), strict=True
    ):
        try:
            tables[run_id] = _parse_table(text)
        except (TrackingError, ValueError, KeyError, TypeError) as error:
            reason, measured = shorten(error.__cause__ or error), run.data.tags[names.MEASURED_RUN_TAG]
            troubles.append(
                f"run {run_id}: its artifact {path} can't be had ({reason}); measure anew: "
                f"{begin_command('evaluate')} measure={measure} {type_override('run_ids', [measured])} resume=false"
            )
    if not tables:
        raise TrackingError(f"no table of {len(evaluations)} evaluations can be had: {troubles[0]}")
    for trouble in troubles:
        log.warning("%s", trouble)
    return tables


def _parse_table(text: str | TrackingError) -> pd.DataFrame:
    if isinstance(text, TrackingError):
        raise text
    record = json.loads(text)
    return pd.DataFrame(record["data"], columns=record["columns"])


def _merge_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables of one run, oldest first, to one: of each condition the last row, in the order of the largest table.

    Conditions that the largest does not have come after its own. A table's columns before `n`, the number of images,
    say under which condition a row was measured, those after it what was measured.
    """
    rows = pd.concat(tables, ignore_index=True)
    condition = list(dict.fromkeys(column for table in tables for column in takewhile(lambda name: name != "n", table)))
    last = rows.drop_duplicates(condition, keep="last")
    by_size = sorted(tables, key=len, reverse=True)
    order = pd.concat(by_size, ignore_index=True)[condition].drop_duplicates()
    return order.merge(last, on=condition, how="left")[list(rows)]


def _describe(run: Run) -> LoggedRun:
    run_id, kind = run.info.run_id, run.data.tags.get(names.KIND_TAG)
    if kind != "train":
        raise RunError(f"run {run_id}: is no training run{f' but of kind {kind}' if kind else ''}")
    if run.info.status != "FINISHED":
        raise RunError(f"run {run_id}: is {run.info.status}; only finished runs have their model")
    if names.MODEL_DELETED_TAG in run.data.tags:
        reason = run.data.tags[names.MODEL_DELETED_TAG]
        raise RunError(f"run {run_id}: its model was not kept ({reason}); {_describe_retraining(run_id)}")
    models = run.outputs.model_outputs if run.outputs is not None else []
    if not models:
        raise RunError(f"run {run_id}: has no logged model; {_describe_retraining(run_id)}")
    return LoggedRun(
        run_id=run_id,
        name=run.info.run_name or run_id,
        experiment_id=run.info.experiment_id,
        model_id=models[0].model_id,
        data_digest=run.data.tags.get(names.DATA_TAG, ""),
        params=run.data.params,
        metrics=run.data.metrics,
    )


def _describe_retraining(run_id: str) -> str:
    return f"train it again: python -m mnist_flow.rerun run_id={run_id}; the new run has an id of its own"
