"""How a run begins in MLflow, new or taken up again, and ends truthfully."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking.context.registry import resolve_tags

from mnist_flow.errors import BusyError, PrunedError, TrackingError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.runtime.processes import describe_process, name_process
from mnist_flow.runtime.signals import signals_held
from mnist_flow.tracking import names
from mnist_flow.tracking.notes import show_figures
from mnist_flow.tracking.past import STALE_AFTER, fetch_past_runs
from mnist_flow.tracking.places import check_place
from mnist_flow.tracking.run import DeliveryOptions, TrackedRun
from mnist_flow.tracking.server import clear_errors, wait_for

log = logging.getLogger(__name__)

# Letters of a run's name; MLflow's page has one line for it.
MAX_NAME_LENGTH = 200

# MLflow's variable that `mlflow run` sets for the command that it starts.
_RUN_ID = "MLFLOW_RUN_ID"
# Patience with the server while a run is being interrupted, in seconds: batch systems kill half a minute after SIGTERM.
_LAST_PATIENCE = 10.0


@contextmanager
def start_run(
    experiment_id: str,
    run_name: str,
    tags: Mapping[str, str],
    *,
    parent_run_id: str | None = None,
    take_up: str | None = None,
    alone_since: float | None = None,
    stale_after: float = STALE_AFTER,
    system_metrics: bool = False,
    options: DeliveryOptions | None = None,
) -> Iterator[TrackedRun]:
    """A run whose end is true: FINISHED, FAILED with the traceback as an artifact, or KILLED; pruned ones have a tag.

    Adopts the run that `mlflow run` created, where there is one, see `take_project_run`.

    Args:
        experiment_id: where a new run goes.
        parent_run_id: the sweep's; of an evaluation, the training run's.
        take_up: id of an interrupted run to go on with, instead of a new one.
        alone_since: Unix time in seconds at which no other process had the same fingerprint; none may since.
        stale_after: seconds of silence after which a process of another machine is taken for dead.
        system_metrics: log CPU and memory.
        options: for a server that goes away.

    Raises:
        TrackingError: the run can't be created, or MLFLOW_RUN_ID names a run that is not to be adopted.
        BusyError: another process has the same fingerprint, or had since `alone_since`.
        UndeliveredError: the run is finished and the server did not take its record.
    """
    options = options or DeliveryOptions()
    adopted = take_project_run()
    begun = {**tags, **describe_owner()} | ({names.PARENT_TAG: parent_run_id} if parent_run_id else {})
    if existing := take_up or adopted:
        open_it, patience = partial(reopen, existing, run_name if adopted else None, begun), options.patience
    else:
        open_it = partial(create, experiment_id, run_name, begun, alone_since, stale_after)
        # A sweep's jobs wait for a server that was there when the sweep began.
        patience = options.patience if parent_run_id else 0
    run = begin_run(experiment_id, open_it, patience, options, taken_up=bool(existing))
    try:
        with _log_system_metrics(run.run_id, taken_up=bool(take_up)) if system_metrics else nullcontext():
            yield run
    except PrunedError as pruned:
        # KILLED, so that nothing that looks for finished runs takes it for one.
        run.set_tags({names.PRUNED_TAG: str(pruned.epoch), names.PRUNED_BECAUSE_TAG: pruned.reason})
        end_quietly(run, "KILLED", options.patience)
        raise
    except Exception as error:
        end_quietly(run, "FAILED", options.patience, traceback.format_exc())
        log.error("run %s is marked FAILED; its artifact traceback.txt says where", run.run_id)
        raise error
    except BaseException:
        end_quietly(run, "KILLED", _LAST_PATIENCE)
        log.error("run %s is marked KILLED", run.run_id)
        raise
    else:
        run.end("FINISHED")


def begin_run(
    experiment_id: str, open_it: Callable[[], str], patience: float, options: DeliveryOptions, *, taken_up: bool
) -> TrackedRun:
    """Begin to write to a run; neither an error nor a signal that arrives meanwhile leaves it RUNNING.

    Args:
        experiment_id: the run's.
        open_it: makes the run, or reopens it, and returns its id.
        patience: seconds for which that is tried again while the server is away.
        options: for a server that goes away later.
        taken_up: the run has a history, which is not to be logged twice.

    Raises:
        TrackingError: the server does not answer or refuses.
        RunError: the disk is full.
    """
    opened: list[str] = []

    def open_whole() -> None:
        with signals_held():
            opened.append(open_it())

    try:
        with clear_errors():
            wait_for(open_whole, patience)
        return TrackedRun(opened[-1], experiment_id, options, taken_up)
    except BaseException as error:
        if opened:
            with suppress(Exception):
                mlflow.MlflowClient().set_terminated(opened[-1], "FAILED" if isinstance(error, Exception) else "KILLED")
        raise


@contextmanager
def _log_system_metrics(run_id: str, taken_up: bool) -> Iterator[None]:
    monitor = SystemMetricsMonitor(run_id, resume_logging=taken_up)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def end_quietly(run: TrackedRun, status: str, patience: float, trace: str | None = None) -> None:
    """What goes wrong here must not hide the error that led here, nor keep the run from ending."""
    try:
        if trace is not None:
            run.log_artifacts(texts={"traceback.txt": trace})
    except Exception as error:
        log.error("no traceback is logged: %s", hide_credentials(str(error)))
    try:
        run.end(status, min(patience, _LAST_PATIENCE))
    except Exception as error:
        log.error("%s", hide_credentials(str(error)))


def is_project_run() -> bool:
    """Whether `mlflow run` started this process, and created a run for it that nobody has adopted yet."""
    return bool(os.environ.get(_RUN_ID))


def take_project_run() -> str | None:
    """The run that `mlflow run` created for this process, as MLFLOW_RUN_ID says; None: there is none, or it is taken.

    Raises:
        TrackingError: the server does not answer, or has no such run, or it is not a fresh one of `mlflow run`. Its
            record would become false if another run was written into it.
    """
    taken = _check_project_run()
    os.environ.pop(_RUN_ID, None)
    return taken


def _check_project_run(kind: str | None = None) -> str | None:
    """The run that MLFLOW_RUN_ID names, which must be as `mlflow run` leaves it, or marked as of this kind."""
    if not is_project_run():
        return None
    with clear_errors():
        run = mlflow.MlflowClient().get_run(os.environ[_RUN_ID])
    tags, trouble = run.data.tags, ""
    if not any(tag.startswith("mlflow.project.") for tag in tags):
        trouble = "was not made by `mlflow run`"
    elif run.info.lifecycle_stage == "deleted" or run.info.status != "RUNNING":
        trouble = f"is {'deleted' if run.info.lifecycle_stage == 'deleted' else run.info.status}"
    elif tags.get(names.KIND_TAG, kind) != kind or run.data.metrics:
        trouble = "is written to already"
    if trouble:
        raise TrackingError(
            f"MLFLOW_RUN_ID={run.info.run_id}: this run {trouble}, and nothing is written to it; "
            "leave the variable out: unset MLFLOW_RUN_ID"
        )
    return str(run.info.run_id)


def adopt_project_run(kind: str) -> str | None:
    """The run that `mlflow run` created for this process, for what is not a run of its own; None outside `mlflow run`.

    It is called as the command that was typed, instead of the name that `mlflow run` gave it.

    Args:
        kind: what the run is marked as. `analysis`: it is still there for the next analysis of this process.
            `evaluation`: it holds the summary, and the evaluations are other runs, which must not adopt it too.

    Raises:
        TrackingError: as of `take_project_run`.
    """
    adopted = _check_project_run("analysis") if kind == "analysis" else take_project_run()
    if adopted:
        typed = " ".join([Path(sys.argv[0]).stem, *sys.argv[1:]])
        client = mlflow.MlflowClient()
        with clear_errors():
            client.set_tag(adopted, names.KIND_TAG, kind)
            client.update_run(adopted, name=hide_credentials(typed)[:MAX_NAME_LENGTH])
    return adopted


def log_files(run_id: str, files: Sequence[Path], folder: str) -> None:
    """Log local files to a folder of a run's artifacts; SVGs are shown in its description, too.

    Raises:
        TrackingError: the server does not answer, or the artifacts can't be written.
    """
    client = mlflow.MlflowClient()
    with clear_errors():
        check_place(client.get_run(run_id).info.artifact_uri, f"run {run_id}")
        for file in files:
            client.log_artifact(run_id, str(file), folder)
        show_figures(run_id, [f"{folder}/{file.name}" for file in files if file.suffix == ".svg"])


def log_summary(run_id: str, summary: pd.DataFrame) -> None:
    """Log the summary of several evaluations as a table of a run."""
    with clear_errors():
        mlflow.MlflowClient().log_table(run_id, summary, "evaluation/summary.json")


def describe_owner() -> dict[str, str]:
    """Tags that say which process a run belongs to, and that it lives."""
    return {names.PROCESS_TAG: describe_process(), names.HEARTBEAT_TAG: str(int(time.time()))}


def reopen(run_id: str, name: str | None, tags: Mapping[str, str]) -> str:
    """Make an existing run this process's, RUNNING again; returns its id."""
    client = mlflow.MlflowClient()
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    client.update_run(run_id, status="RUNNING", name=name)
    return run_id


def create(
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    alone_since: float | None = None,
    stale_after: float = STALE_AFTER,
) -> str:
    """Create a run; with `alone_since`, unless another process has one of the same fingerprint.

    MLflow has no locks: each creates its run first and looks for others then, so of two at once at least one sees the
    other. Who sees another withdraws; where two withdrew from each other, chance decides.
    """
    client = mlflow.MlflowClient()
    while True:
        run_id = str(client.create_run(experiment_id, tags=resolve_tags(dict(tags)), run_name=name).info.run_id)
        if alone_since is None:
            return run_id
        fingerprint = tags[names.FINGERPRINT_TAG]
        others = []
        for past in fetch_past_runs(experiment_id, fingerprint, stale_after=stale_after, kind=tags[names.KIND_TAG]):
            finished_since = past.state == "finished" and past.end_time >= alone_since * 1000
            if past.run_id == run_id or not (past.state == "alive" or finished_since):
                continue
            if past.state == "alive" and past.process == tags[names.PROCESS_TAG]:
                # Ours: the server created it and broke down before it could say so.
                client.delete_run(past.run_id)
            else:
                others.append(past)
        if not others:
            return run_id
        client.delete_run(run_id)
        time.sleep(random.uniform(0.1, 2.0))  # noqa: S311 - no secret
        verb = "trains" if tags[names.KIND_TAG] == "train" else "measures"
        now = fetch_past_runs(experiment_id, fingerprint, stale_after=stale_after, kind=tags[names.KIND_TAG])
        left = {past.run_id for past in now if past.state != "interrupted"}
        for other in others:
            if other.run_id in left:
                raise BusyError(
                    f"run {other.run_id} of {name_process(other.process)} has the same config; resume=false {verb} it "
                    "all the same"
                )
