"""Whether a run is there already: finished, trained by another process, or interrupted with a checkpoint."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import BusyError, TrackingError
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.identity import identify
from mnist_flow.jobs.lookup import look_up
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.environment import digest_code
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.terminal import print_line
from mnist_flow.tracking import PastRun
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.state import TrainingState, unpack_state

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


def keeps_state(run: PastRun) -> bool:
    """Whether a run has kept its last state, from which a longer one can go on."""
    return run.params.get("training.keep_state") == "True"


def can_go_on(run: PastRun) -> bool:
    """Whether a longer run may go on from a run: it has kept its last state, and this version of the code made it."""
    return keeps_state(run) and run.code == digest_code()


def list_shorter(job: Job, experiment_id: str) -> list[PastRun]:
    """List finished runs of the same config with fewer epochs, the longest first; none unless states are to be kept.

    Raises:
        TrackingError: the server does not answer.
    """
    config = job.config
    if not (config.training.keep_state and config.resume):
        return []
    known = {"model.name": config.model.name, "seed": str(config.seed)}

    def is_shorter(run: PastRun) -> bool:
        epochs = int(run.params.get("epochs", 0))
        shorter = config.model_copy(update={"epochs": epochs})
        is_done = run.state == "finished" and 0 < epochs < config.epochs
        return is_done and run.fingerprint == identify(shorter, job.data_digest).fingerprint

    past = tracking.fetch_past_runs(experiment_id, params=known)
    return sorted(filter(is_shorter, past), key=lambda run: int(run.params["epochs"]), reverse=True)


def find_shorter(context: RunContext, experiment_id: str) -> tuple[PastRun, TrainingState] | None:
    """Find a finished run of the same config with fewer epochs whose last state this run can go on from.

    It can where that is the same, bit for bit, as training all epochs at once: the code is the same, and the learning
    rate does not depend on the number of epochs. A line says why where it can't. Of several runs, the longest.

    Raises:
        TrackingError: the server does not answer.
    """
    # The main process of a sweep lists shorter runs, too, and trains nothing.
    from mnist_flow.runs.training import STATE_ARTIFACT, depends_on_epochs

    config = context.config
    shorter = list_shorter(context.job, experiment_id)
    for run in filter(keeps_state, shorter):
        epochs = int(run.params["epochs"])
        if not can_go_on(run):
            reason = "was made by another version of the code"
        elif depends_on_epochs(config, len(context.splits.train), epochs):
            reason = f"has other learning rates, since schedule={config.schedule.name} depends on the number of epochs"
        else:
            try:
                state = unpack_state(tracking.fetch_arrays(run.run_id, STATE_ARTIFACT))
                if not context.in_sweep:
                    print_line(
                        f"run {run.run_id} has the first {epochs} epochs of this config; its state is gone on from"
                    )
                return run, state
            except (TrackingError, KeyError, TypeError, ValueError) as error:
                reason = f"has no state that can be read ({error})"
        log.warning("run %s (epochs=%d) %s; trained from the first epoch", run.run_id, epochs, reason)
    if shorter and not any(map(keeps_state, shorter)):
        longest = shorter[0]
        log.warning(
            "run %s (epochs=%s) has kept no state; trained from the first epoch",
            longest.run_id,
            longest.params["epochs"],
        )
    return None


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
