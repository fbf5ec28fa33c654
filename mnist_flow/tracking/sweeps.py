"""The parent run of a sweep."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd

from mnist_flow.errors import TrackingError, UserError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.runtime.processes import name_process
from mnist_flow.tracking import names
from mnist_flow.tracking.artifacts import fetch_text
from mnist_flow.tracking.lifecycle import MAX_NAME_LENGTH, begin_run, create, describe_owner, reopen, take_project_run
from mnist_flow.tracking.past import fetch_running_children, find_sweep, lives
from mnist_flow.tracking.run import DeliveryOptions, TrackedRun
from mnist_flow.tracking.server import clear_errors, wait_for

_MAX_OVERRIDES_LENGTH = 5000
# For processes that are being stopped, in seconds.
_GRACE = 10.0


def open_sweep(
    experiment_id: str,
    fingerprint: str | None,
    overrides: Sequence[str],
    *,
    name: str,
    resume: bool,
    stale_after: float,
    options: DeliveryOptions,
) -> TrackedRun:
    """The parent run of a sweep: new, or that of the same sweep before, which goes on.

    Under `mlflow run` it is the run that MLflow created.

    Args:
        experiment_id: where it belongs.
        fingerprint: of the set of jobs; None where they are not known beforehand.
        overrides: what the user typed.
        resume: go on with an earlier sweep of the same jobs.
        stale_after: seconds of silence after which a sweep of another machine is taken for dead.
        options: for a server that goes away.

    Raises:
        TrackingError: the server does not answer.
        UserError: another process runs this sweep.
    """
    summary = hide_credentials(" ".join(overrides))[:_MAX_OVERRIDES_LENGTH]
    name = hide_credentials(name)[:MAX_NAME_LENGTH]
    tags = {
        names.KIND_TAG: "sweep",
        names.OVERRIDES_TAG: summary,
        "mlflow.source.name": Path(sys.argv[0]).name,
        **({names.FINGERPRINT_TAG: fingerprint} if fingerprint else {}),
        **describe_owner(),
    }
    existing = take_project_run()
    earlier = find_sweep(experiment_id, fingerprint, stale_after) if resume and existing is None else None
    if earlier is not None:
        if earlier.is_alive:
            raise UserError(
                f"this sweep is running already, in {name_process(earlier.process)} as run {earlier.run_id}; "
                "wait for it, or resume=false"
            )
        existing = earlier.run_id
    open_it = partial(reopen, existing, name, tags) if existing else partial(create, experiment_id, name, tags)
    return begin_run(experiment_id, open_it, 0.0, options, taken_up=existing is not None)


def fetch_sweep_tables(run_id: str) -> dict[str, pd.DataFrame]:
    """The tables in sweep/ of a parent run, by their names; a search keeps its terms there, too, which are none.

    Raises:
        TrackingError: the server does not answer, or a table is gone or damaged.
    """
    with clear_errors():
        files = [Path(file.path) for file in mlflow.MlflowClient().list_artifacts(run_id, "sweep")]
    tables = {}
    for file in files:
        if file.suffix != ".json":
            continue
        text = fetch_text(run_id, str(file))
        try:
            record = json.loads(text)
            if {"data", "columns"} <= record.keys():
                tables[file.stem] = pd.DataFrame(record["data"], columns=record["columns"])
        except (ValueError, TypeError, AttributeError) as error:
            remedy = "write it anew with the command of the sweep, which repeats no finished run"
            raise TrackingError(f"run_id={run_id}: its artifact {file} is damaged; {remedy}") from error
    return tables


def close_abandoned_children(parent: TrackedRun, patience: float, stale_after: float) -> tuple[int, int]:
    """Mark children KILLED whose process is gone, waiting some seconds for those that are being stopped.

    Returns:
        How many were marked, and how many still run in processes that live.
    """
    client = mlflow.MlflowClient()
    closed, deadline = 0, time.monotonic() + _GRACE
    while True:
        running = wait_for(lambda: fetch_running_children(parent.experiment_id, parent.run_id), patience)
        gone = [child for child in running if not lives(child, stale_after)]
        for child in gone:
            with clear_errors():
                client.set_terminated(child.info.run_id, "KILLED")
        closed += len(gone)
        if len(gone) == len(running) or time.monotonic() > deadline:
            return closed, len(running) - len(gone)
        time.sleep(0.5)
