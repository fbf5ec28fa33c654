"""The start of a sweep: find which jobs are done, and open the parent run where something is left to do."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.jobs.composition import read_overrides
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.jobs.lookup import look_up, match
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import build_grid, build_replicates, build_summary
from mnist_flow.jobs.workers import count_workers
from mnist_flow.runtime.terminal import print_line
from mnist_flow.sweeps.handover import hand_over
from mnist_flow.sweeps.outcomes import name_tables, print_best
from mnist_flow.sweeps.request import SweepRequest
from mnist_flow.sweeps.sweep import Sweep

log = logging.getLogger(__name__)


def open_sweep(config: DictConfig, request: SweepRequest) -> Sweep | None:
    """Open a sweep; None where every job is done already, whose results are printed.

    Args:
        config: as Hydra composed it for the whole sweep; gets what the jobs are told.
        request: what the sweep asks for.

    Raises:
        ConfigError: the tracking config is wrong.
        TrackingError: the tracking server does not answer.
        BusyError: another process runs the same sweep.
    """
    jobs, base = request.jobs, request.base
    experiment_id = _prepare_experiment(base)
    planned = look_up(jobs, experiment_id) if base.resume else match([], jobs)
    _print_counts(planned)
    fingerprint = compute_fingerprint({"jobs": sorted({job.identity.fingerprint for job in jobs})}) if jobs else None
    all_done = bool(planned) and all(one.state == "finished" for one in planned)
    if all_done and not _awaits_end(experiment_id, fingerprint, base):
        print_best(jobs, build_replicates(build_summary(planned, ["skipped"] * len(planned))), base.objective)
        return None
    parent = tracking.open_sweep(
        experiment_id,
        fingerprint,
        read_overrides(config.hydra.overrides.task),
        resume=base.resume,
        stale_after=base.tracking.stale_after,
        options=tracking.DeliveryOptions(base.tracking.patience, Path(base.tracking.undelivered_dir)),
    )
    parent.log_artifacts(
        texts={"sweep/overrides.yaml": OmegaConf.to_yaml(config.hydra.overrides.task)},
        # Logged at once, so that what is missing can be told while the sweep goes on.
        tables=name_tables(grid=build_grid(jobs)) if jobs else {},
    )
    hand_over(config, jobs, parent)
    return Sweep(jobs, base, parent, planned, partial(count_workers, config))


def _prepare_experiment(base: TrainConfig) -> str:
    """Connect to the tracking server, deliver kept records, and close runs whose processes died.

    Returns:
        The id of the experiment, which is created where there is none.
    """
    tracking.configure(base.tracking.uri, base.tracking.experiment_name)
    experiment_id = tracking.get_or_create_experiment(base.tracking.experiment_name)
    tracking.deliver_kept_records(Path(base.tracking.undelivered_dir))
    closed = Counter(kind for _, kind in tracking.close_stale_runs(experiment_id, base.tracking.stale_after))
    if closed:
        described = ", ".join(f"{kind or 'other'} run{'s' if n > 1 else ''}: {n}" for kind, n in closed.items())
        log.warning("marked KILLED, since their processes are gone: %s", described)
    return experiment_id


def _awaits_end(experiment_id: str, fingerprint: str | None, base: TrainConfig) -> bool:
    """Whether a parent run waits to be ended, though every job is done.

    It may be the run that `mlflow run` created, or that of a main process that was killed while its workers went on.
    """
    return tracking.is_project_run() or tracking.was_cut_off(experiment_id, fingerprint, base.tracking.stale_after)


def _print_counts(planned: Sequence[PlannedJob]) -> None:
    """Print how many jobs are done, are resumed and are new, and warn of code or data that has changed since."""
    counts = Counter(one.state for one in planned)
    if not planned:
        return
    parts = [f"{counts['finished']} skipped", f"{counts['interrupted']} resumed", f"{counts['new']} new"]
    parts += [f"{counts['alive']} running in other processes"] if counts["alive"] else []
    print_line(f"{len(planned)} job{'s' if len(planned) > 1 else ''}: {', '.join(parts)}")
    if other_code := sum(one.other_code for one in planned):
        log.warning(
            "%d of them were made by another version of the code; tracking.changed_code=retrain trains them anew",
            other_code,
        )
    if other_data := sum(one.other_data for one in planned):
        log.warning("%d of them are finished on other data (its digest changed), and are trained anew", other_data)
