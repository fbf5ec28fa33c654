"""What becomes of the models of a sweep at its end: which are kept, and which is registered."""

from __future__ import annotations

from collections.abc import Sequence

from mnist_flow import tracking
from mnist_flow.config.tracking import TrackingConfig
from mnist_flow.config.train import is_minimised
from mnist_flow.errors import RunError, TrackingError, UserError
from mnist_flow.jobs.tables import read_results
from mnist_flow.runs.registration import find_registration, print_registration
from mnist_flow.runtime.terminal import print_line
from mnist_flow.tracking import PastRun


def choose_best_run(runs: Sequence[PastRun], objective: str) -> str | None:
    """Choose the finished run with the best objective, the first of equal ones; None: no run has one."""
    sign = 1 if is_minimised(objective) else -1
    values = {run.run_id: read_results(run.metrics).get(objective) for run in runs if run.state == "finished"}
    ranked = {run_id: sign * value for run_id, value in values.items() if value is not None}
    return min(ranked, key=lambda run_id: ranked[run_id]) if ranked else None


def settle_models(config: TrackingConfig, experiment_id: str, parent_run_id: str | None, best: str | None) -> str:
    """Register the best run of a finished sweep, and delete the models that are not kept.

    Args:
        experiment_id: of the sweep.
        parent_run_id: of the runs whose models may be deleted; None: only register.
        best: id of the sweep's best run, which may be another sweep's child; None: there is none.

    Returns:
        What could not be done, and how to do it; empty where all is.
    """
    registration, troubles = find_registration(config), []
    if registration is not None and best is not None:
        try:
            print_registration(registration, registration.register(best))
        except TrackingError as error:
            troubles.append(f"run {best}, its best, is not registered: {error}")
    if parent_run_id is not None and config.keep_models in ("best", "last"):
        try:
            _delete_others(config, experiment_id, parent_run_id, best)
        except (UserError, RunError) as error:
            troubles.append(f"models that are not kept are not deleted: {error}")
    told = "the sweep is finished, and its runs are kept; the same command again makes up for this"
    return f"{'; '.join(troubles)} ({told})" if troubles else ""


def _delete_others(config: TrackingConfig, experiment_id: str, parent_run_id: str, best: str | None) -> None:
    children = tracking.fetch_stored_runs([experiment_id], sweep=parent_run_id)
    trained = [run for run in children if run.status == "finished" and run.model_places]
    if config.keep_models == "last":
        best = max(trained, key=lambda run: run.end_time).run_id if trained else None
    registered = tracking.fetch_registered()
    others = [run for run in trained if run.run_id != best and run.run_id not in registered]
    if best is not None and others:
        tracking.delete_models(others, f"tracking.keep_models={config.keep_models}", from_disk=True)
        print_line(f"tracking.keep_models={config.keep_models}: kept the model of run {best}, deleted {len(others)}")
