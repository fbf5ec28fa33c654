"""What becomes of the models of a sweep at its end: which are kept, and which is registered."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from mnist_flow import tracking
from mnist_flow.config.tracking import TrackingConfig
from mnist_flow.config.train import is_minimised
from mnist_flow.errors import RunError, UserError
from mnist_flow.jobs.tables import read_results
from mnist_flow.runs.registration import find_registration, print_registration
from mnist_flow.runtime.terminal import print_line
from mnist_flow.tracking import PastRun, TrackedRun

log = logging.getLogger(__name__)


def check_registration(config: TrackingConfig, run_ids: Collection[str]) -> None:
    """Look whether the best run can be registered, before anything is started.

    Args:
        config: of the sweep.
        run_ids: of its runs that are there already.

    Raises:
        TrackingError: the alias leads elsewhere and is not to be moved; or the store has no registry.
    """
    registration = find_registration(config)
    if registration is not None:
        registration.check(run_ids)


def choose_best_run(runs: Sequence[PastRun], objective: str) -> str | None:
    """Choose the finished run with the best objective, the first of equal ones; None: no run has one."""
    sign = 1 if is_minimised(objective) else -1
    values = {run.run_id: read_results(run.metrics).get(objective) for run in runs if run.state == "finished"}
    ranked = {run_id: sign * value for run_id, value in values.items() if value is not None}
    return min(ranked, key=lambda run_id: ranked[run_id]) if ranked else None


def settle_models(config: TrackingConfig, parent: TrackedRun | None, best: str | None) -> None:
    """Register the best run of a finished sweep and delete the models that are not kept; a warning says what can't be.

    Args:
        config: of the sweep.
        parent: of the runs whose models may be deleted; None: only register.
        best: id of the sweep's best run, which may be another sweep's child; None: there is none.
    """
    try:
        registration = find_registration(config)
        if registration is not None and best is not None:
            print_registration(registration, registration.register(best))
        if parent is not None and config.keep_models in ("best", "last"):
            _delete_others(config, parent, best)
    except (UserError, RunError) as error:
        log.warning("%s", error)


def _delete_others(config: TrackingConfig, parent: TrackedRun, best: str | None) -> None:
    children = tracking.fetch_stored_runs([parent.experiment_id], sweep=parent.run_id)
    trained = [run for run in children if run.status == "finished" and run.model_places]
    if config.keep_models == "last":
        best = max(trained, key=lambda run: run.end_time).run_id if trained else None
    registered = tracking.fetch_registered()
    others = [run for run in trained if run.run_id != best and run.run_id not in registered]
    if best is not None and others:
        tracking.delete_models(others, f"tracking.keep_models={config.keep_models}", from_disk=True)
        print_line(f"tracking.keep_models={config.keep_models}: kept the model of run {best}, deleted {len(others)}")
