"""Whether a run is there already: finished, trained by another process, or interrupted with a checkpoint."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import BusyError
from mnist_flow.jobs.lookup import look_up
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.processes import name_process
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.state import TrainingState

log = logging.getLogger(__name__)


def find_earlier(context: RunContext, experiment_id: str) -> PlannedJob:
    """Find the run that this config and data have already, if any, and warn where its code or data was another.

    Raises:
        BusyError: another process trains it.
        TrackingError: the server does not answer.
    """
    config = context.config.tracking
    # A sweep does so once for all its jobs.
    if not context.in_sweep:
        tracking.deliver_kept_records(Path(config.undelivered_dir))
        tracking.close_stale_runs(experiment_id, config.stale_after)
    # The run that `mlflow run` created is there to be filled.
    if not context.config.resume or tracking.is_project_run():
        return PlannedJob(context.job, "new", None)
    patience = config.patience if context.in_sweep else 0
    (earlier,) = tracking.wait_for(lambda: look_up([context.job], experiment_id), patience)
    if earlier.state == "alive" and earlier.run is not None:
        raise BusyError(
            f"run {earlier.run.run_id} of {name_process(earlier.run.process)} has the same config; wait for it, or "
            "resume=false trains it all the same"
        )
    # A sweep says so once for all its jobs.
    if earlier.other_code and not context.in_sweep:
        log.warning(
            "run %s was made by another version of the code; tracking.changed_code=retrain trains it anew",
            earlier.run.run_id if earlier.run else None,
        )
    if earlier.other_data and not context.in_sweep:
        log.warning("a finished run of this config has other data (its digest changed); this one is trained anew")
    return earlier


def open_checkpoint(
    config: TrainConfig, earlier: PlannedJob, held: ExitStack
) -> tuple[CheckpointFolder | None, TrainingState | None]:
    """Open the checkpoint that an interrupted run goes on from, until `held` ends; None: none that can be read."""
    if earlier.state != "interrupted" or earlier.run is None or config.training.checkpoint_dir is None:
        return None, None
    folder = CheckpointFolder(Path(config.training.checkpoint_dir, earlier.run.run_id))
    state = held.enter_context(folder).load()
    if state is None:
        log.warning("run %s: its checkpoint can't be read; a new run starts from the first epoch", earlier.run.run_id)
        return None, None
    return folder, state
