"""What the server knows of earlier runs. Every look-up filters on the server, and takes few requests for many runs."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils import get_results_from_paginated_fn
from mlflow.utils.search_utils import SearchUtils

from mnist_flow.config.overrides import type_override
from mnist_flow.errors import TrackingError
from mnist_flow.runtime.garbage import collection_paused
from mnist_flow.runtime.processes import is_alive
from mnist_flow.tracking import names
from mnist_flow.tracking.columns import compares_as_mlflow, find_database, select_runs
from mnist_flow.tracking.missing import describe_missing_run, fetch_run_or_none
from mnist_flow.tracking.server import clear_errors, find_unwritable, is_store_there, shorten

log = logging.getLogger(__name__)

_PAGE = 1000
# Seconds of silence after which a RUNNING run of another machine is taken for dead, where no config says how many.
STALE_AFTER = 600.0
# Of runs that are older than the tag.
_NO_PROCESS = "/-/0/0"
# Tags, params and status of finished training runs.
_FINISHED_TRAINING: tuple[Mapping[str, str], Mapping[str, str], str] = {names.KIND_TAG: "train"}, {}, "FINISHED"


@dataclass(frozen=True)
class PastRun:
    """An earlier training run or evaluation."""

    run_id: str
    # alive: RUNNING, and its process lives. interrupted: KILLED or FAILED, or RUNNING and its process is gone.
    state: Literal["finished", "alive", "interrupted"]
    fingerprint: str
    recipe: str
    parent_run_id: str
    # Version of the code and process that made it; empty for runs older than these tags.
    code: str
    process: str
    data_digest: str
    # Unix time in milliseconds; 0 while it runs.
    end_time: int
    # From its start to its end, pauses included.
    seconds: float
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    experiment_id: str = ""
    # The fingerprint without the seed, which replicates share.
    group: str = ""


def fetch_past_runs(
    experiment_id: str,
    fingerprint: str | None = None,
    recipe: str | None = None,
    params: Mapping[str, str] | None = None,
    stale_after: float = STALE_AFTER,
    kind: str = "train",
    data_digest: str | None = None,
    newest_finished: int | None = None,
) -> list[PastRun]:
    """The training runs of an experiment, oldest first; or its evaluations.

    Args:
        experiment_id: where to look.
        fingerprint: only runs with this one.
        recipe: only runs with this one.
        params: only runs with these.
        stale_after: seconds of silence after which a RUNNING run of another machine is taken for dead.
        kind: train or evaluation.
        data_digest: only runs on the data with this digest.
        newest_finished: only finished runs, and so many at most, of which none is older than one that is left out.
    """
    tags = {
        names.KIND_TAG: kind,
        names.FINGERPRINT_TAG: fingerprint,
        names.RECIPE_TAG: recipe,
        names.DATA_TAG: data_digest,
    }
    wanted = {key: value for key, value in tags.items() if value is not None}
    if newest_finished is None:
        found = _fetch(experiment_id, wanted, params or {})
    else:
        conditions = _build_filter(wanted, params or {}, "FINISHED")
        found = search(experiment_id, conditions, ["attributes.start_time DESC"], newest_finished)[::-1]
    return [_describe(run, stale_after) for run in found]


def fetch_run(run_id: str) -> PastRun:
    """One training run.

    Raises:
        TrackingError: the server does not answer, or has no such training run.
    """
    with clear_errors():
        run = fetch_run_or_none(run_id)
    if run is None:
        raise TrackingError(f"run_id={run_id}: {describe_missing_run()}")
    if run.data.tags.get(names.KIND_TAG) != "train":
        raise TrackingError(f"run_id={run_id}: is no training run")
    return _describe(run, STALE_AFTER)


def fetch_runs(experiment_ids: Sequence[str], extra_filter: str | None = None) -> list[PastRun]:
    """Finished training runs, experiment by experiment, the oldest first.

    Args:
        experiment_ids: where to look.
        extra_filter: a further condition in MLflow's filter language.

    Raises:
        TrackingError: the server does not answer, or the filter is malformed.
    """
    return [
        _describe(run, stale_after=0.0)
        for experiment_id in experiment_ids
        for run in (
            _fetch(experiment_id, *_FINISHED_TRAINING)
            if extra_filter is None
            else search_finished_training(experiment_id, extra_filter)
        )
    ]


@dataclass(frozen=True)
class PastSweep:
    """The parent run of a sweep."""

    run_id: str
    experiment_id: str
    # RUNNING, FINISHED, FAILED or KILLED.
    status: str
    # What was typed, as one text.
    overrides: str
    process: str
    # It is RUNNING, and its process lives.
    is_alive: bool

    @property
    def was_cut_off(self) -> bool:
        """Whether it ended before it was finished, so that it has no final tables."""
        return not self.is_alive and self.status != "FINISHED"


def fetch_sweeps(experiment_ids: Sequence[str]) -> list[PastSweep]:
    """The sweeps of some experiments, oldest first.

    Raises:
        TrackingError: the server does not answer.
    """
    return [
        _describe_sweep(run, STALE_AFTER)
        for experiment_id in experiment_ids
        for run in search(experiment_id, f"tags.`{names.KIND_TAG}` = 'sweep'", ["attributes.start_time ASC"])
    ]


def find_sweep(experiment_id: str, fingerprint: str | None, stale_after: float) -> PastSweep | None:
    """The last sweep with this fingerprint; None: there is none, or no fingerprint is given.

    Raises:
        TrackingError: the server does not answer.
    """
    sweeps = f"tags.`{names.KIND_TAG}` = 'sweep' and tags.`{names.FINGERPRINT_TAG}` = '{fingerprint}'"
    found = search(experiment_id, sweeps, ["attributes.start_time DESC"], at_most=1) if fingerprint else []
    return _describe_sweep(found[0], stale_after) if found else None


def _describe_sweep(run: Run, stale_after: float) -> PastSweep:
    info, tags = run.info, run.data.tags
    # In parents that are older than its tag what was typed is their description.
    overrides = str(tags.get(names.OVERRIDES_TAG, tags.get(names.NOTE_TAG, ""))).strip()
    process, is_alive = tags.get(names.PROCESS_TAG, _NO_PROCESS), info.status == "RUNNING" and lives(run, stale_after)
    return PastSweep(info.run_id, info.experiment_id, info.status, overrides, process, is_alive)


def close_stale_runs(experiment_ids: str | Sequence[str], stale_after: float) -> None:
    """Mark runs KILLED that are RUNNING by name only, since their process is gone, and say so.

    A run of another machine counts as gone after `stale_after` seconds of silence; one without a process tag is not
    ours to judge.

    Raises:
        TrackingError: the server does not answer.
    """
    client = mlflow.MlflowClient()
    closed: Counter[str] = Counter()
    for run in search(experiment_ids, f"attributes.status = 'RUNNING' and tags.`{names.PROCESS_TAG}` LIKE '%'"):
        run_id = run.info.run_id
        if not lives(run, stale_after):
            try:
                client.set_terminated(run_id, "KILLED")
                closed[run.data.tags.get(names.KIND_TAG, "")] += 1
            except MlflowException as error:  # It may be another user's.
                log.warning("run %s: its process is gone, but it can't be marked KILLED (%s)", run_id, shorten(error))
    if closed:
        described = ", ".join(f"{kind or 'other'} run{'s' if n > 1 else ''}: {n}" for kind, n in closed.items())
        log.warning("marked KILLED, since their processes are gone: %s", described)


def close_dead_runs() -> None:
    """Mark runs of all experiments KILLED whose process was one of this machine and is gone; see `close_stale_runs`.

    In a store that this user can only read they stay as they are. How long another machine may be silent is for those
    to say who train in the experiment.
    """
    if not is_store_there() or find_unwritable() is not None:
        return
    with clear_errors():
        everywhere = [str(one.experiment_id) for one in mlflow.search_experiments()]
    close_stale_runs(everywhere, math.inf)


def fetch_ended_children(experiment_id: str, parent_run_id: str, since: int) -> list[Run]:
    """Children of a sweep that ended at or after a Unix time in milliseconds, the first to end first."""
    # One that is resumed keeps its old end until the new one.
    ended = f"tags.`{names.PARENT_TAG}` = '{parent_run_id}' and attributes.end_time >= {since}"
    return search(experiment_id, f"{ended} and attributes.status != 'RUNNING'", ["attributes.end_time ASC"])


def fetch_running_children(experiment_id: str, parent_run_id: str) -> list[Run]:
    """Children of a sweep that are RUNNING."""
    return search(experiment_id, f"tags.`{names.PARENT_TAG}` = '{parent_run_id}' and attributes.status = 'RUNNING'")


def search(
    experiment_ids: str | Sequence[str], conditions: str, order: Sequence[str] = (), at_most: int | None = None
) -> list[Run]:
    """The runs of an experiment, or of several, that match an MLflow filter, page by page.

    Raises:
        TrackingError: the server does not answer, or the filter is malformed.
    """
    where = [experiment_ids] if isinstance(experiment_ids, str) else list(experiment_ids)
    search_runs = partial(mlflow.MlflowClient().search_runs, where, conditions, order_by=list(order))
    with clear_errors(), collection_paused():
        found: list[Run] = get_results_from_paginated_fn(
            lambda size, token: search_runs(max_results=size, page_token=token), _PAGE, at_most
        )
    return found


def check_filter(key: str, given: str | None) -> None:
    """Check a filter that was typed, if any, before it is joined with other conditions.

    Args:
        key: of the config that has it.
        given: the filter.

    Raises:
        TrackingError: it is malformed.
    """
    try:
        SearchUtils.parse_search_filter(given)
    except MlflowException as error:
        # Behind it stand the spellings of all attributes, in any order.
        reason = str(error).partition(". Valid keys are")[0]
        example = type_override(key, "params.reg = '0.1'")
        told = f"is no filter of MLflow ({reason}); write it like this one: {example}"
        raise TrackingError(f"{key}={given}: {told}") from error


def search_finished_training(experiment_id: str, extra_filter: str | None) -> list[Run]:
    """The finished training runs of an experiment, oldest first, that match a further MLflow filter, if any."""
    conditions = [_build_filter(*_FINISHED_TRAINING), *([extra_filter] if extra_filter else [])]
    return search(experiment_id, " and ".join(conditions), ["attributes.start_time ASC"])


def _fetch(
    experiment_id: str, tags: Mapping[str, str], params: Mapping[str, str], status: str | None = None
) -> list[Run]:
    """Fetch the runs of an experiment with these tags, params and status, the oldest first.

    A database is read by its columns, because MLflow's search takes several times as long.
    """
    with clear_errors(), collection_paused():
        database = find_database()
        if database is not None and compares_as_mlflow(database):
            return select_runs(database, experiment_id, tags, params, status)
    return search(experiment_id, _build_filter(tags, params, status), ["attributes.start_time ASC"])


def _build_filter(tags: Mapping[str, str], params: Mapping[str, str], status: str | None) -> str:
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    conditions += [f"params.`{key}` = '{value}'" for key, value in params.items()]
    conditions += [f"attributes.status = '{status}'"] if status else []
    return " and ".join(conditions)


def _describe(run: Run, stale_after: float) -> PastRun:
    tags = run.data.tags
    state: Literal["finished", "alive", "interrupted"] = "interrupted"
    if run.info.status == "FINISHED":
        state = "finished"
    elif run.info.status == "RUNNING" and lives(run, stale_after):
        state = "alive"
    return PastRun(
        run_id=run.info.run_id,
        state=state,
        fingerprint=tags.get(names.FINGERPRINT_TAG, ""),
        recipe=tags.get(names.RECIPE_TAG, ""),
        parent_run_id=tags.get(names.PARENT_TAG, ""),
        code=tags.get(names.CODE_TAG, ""),
        process=tags.get(names.PROCESS_TAG, _NO_PROCESS),
        data_digest=tags.get(names.DATA_TAG, ""),
        end_time=run.info.end_time or 0,
        seconds=((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000,
        metrics=run.data.metrics,
        params=run.data.params,
        experiment_id=run.info.experiment_id,
        group=tags.get(names.GROUP_TAG, ""),
    )


def lives(run: Run, stale_after: float) -> bool:
    """Whether the process of a RUNNING run lives, as far as can be told from here."""
    tags = run.data.tags
    if names.PROCESS_TAG not in tags:
        return True
    alive = is_alive(tags[names.PROCESS_TAG])
    if alive is not None:
        return alive
    return time.time() - float(tags.get(names.HEARTBEAT_TAG, 0)) < stale_after
