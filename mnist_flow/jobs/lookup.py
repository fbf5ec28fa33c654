"""Look jobs up on the tracking server: which of them are done, which are running, and which are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.plan import PlannedJob, estimate_seconds, plan_jobs
from mnist_flow.jobs.tables import build_grid
from mnist_flow.runtime.environment import digest_code
from mnist_flow.runtime.terminal import print_plan
from mnist_flow.training.checkpoint import has_checkpoint

if TYPE_CHECKING:
    from mnist_flow.tracking import PastRun


def look_up(jobs: Sequence[Job], experiment_id: str, parent_run_id: str | None = None) -> list[PlannedJob]:
    """Find the run that each job already has, with a few requests for any number of jobs; of one sweep or of any."""
    from mnist_flow import tracking

    if len(jobs) == 1:
        (job,) = jobs
        stale_after = job.config.tracking.stale_after
        past = tracking.fetch_past_runs(experiment_id, recipe=job.identity.recipe, stale_after=stale_after)
    else:
        past = _fetch_of_models(jobs, experiment_id)
    return match([run for run in past if parent_run_id in (None, run.parent_run_id)], jobs)


def match(past: Sequence[PastRun], jobs: Sequence[Job]) -> list[PlannedJob]:
    """Match jobs with past runs, given the code and the checkpoints of this machine; see `plan.plan_jobs`."""
    folder = jobs[0].config.training.checkpoint_dir if jobs else None
    return plan_jobs(jobs, past, code=digest_code(), has_checkpoint=lambda run_id: has_checkpoint(folder, run_id))


def show_plan(jobs: Sequence[Job], n_workers: int | None) -> None:
    """Print which jobs a command would train and how long that would take; change nothing.

    Raises:
        TrackingError: the server does not answer.
    """
    from mnist_flow import tracking

    base = jobs[0].config
    tracking.configure(base.tracking.uri, base.tracking.experiment_name)
    experiment_id = tracking.find_experiment(base.tracking.experiment_name)
    past = _fetch_of_models(jobs, experiment_id) if experiment_id is not None else []
    planned = match(past if base.resume else [], jobs)
    todo = [one.job for one in planned if one.state in ("new", "interrupted")]
    print_plan(build_grid(jobs), [one.state for one in planned], estimate_seconds(todo, past), n_workers)


def _fetch_of_models(jobs: Sequence[Job], experiment_id: str) -> list[PastRun]:
    """Fetch the runs of the jobs' models on the jobs' data, with one request per pair of model and data set."""
    from mnist_flow import tracking

    pairs = {(job.config.model.name, job.config.data.name): job.config.tracking.stale_after for job in jobs}
    return [
        run
        for (model, data), stale_after in pairs.items()
        for run in tracking.fetch_past_runs(
            experiment_id, params={"model.name": model, "data.name": data}, stale_after=stale_after
        )
    ]
