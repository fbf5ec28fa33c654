"""Look jobs up on the tracking server: which of them are done, which are running, and which are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.plan import SAME_SPEED, PlannedJob, estimate_seconds, plan_jobs
from mnist_flow.jobs.tables import build_grid
from mnist_flow.runtime.environment import digest_code
from mnist_flow.runtime.terminal import print_plan
from mnist_flow.training.checkpoint import has_checkpoint

if TYPE_CHECKING:
    from mnist_flow.tracking import PastRun

# So many jobs, or fewer, are looked up one by one, which takes milliseconds each however many runs the store has; more
# are looked up among all runs of their models.
_FEW = 30
# Number of runs of a model, the newest, that the time of further ones is estimated from.
_EXAMPLES = 20


def look_up(jobs: Sequence[Job], experiment_id: str, parent_run_id: str | None = None) -> list[PlannedJob]:
    """Find the run that each job already has, with a few requests for any number of jobs; of one sweep or of any."""
    past = _fetch_runs(jobs, experiment_id)
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
    past = _fetch_runs(jobs, experiment_id) if experiment_id is not None else []
    planned = match(past if base.resume else [], jobs)
    todo = [one.job for one in planned if one.state in ("new", "interrupted")]
    examples = past if experiment_id is None or len(jobs) > _FEW else fetch_examples(todo, experiment_id)
    print_plan(build_grid(jobs), [one.state for one in planned], estimate_seconds(todo, examples), n_workers)


def _fetch_runs(jobs: Sequence[Job], experiment_id: str) -> list[PastRun]:
    """Fetch the runs that jobs may have: of few jobs by their recipes, of many all runs of their models and data."""
    from mnist_flow import tracking

    if len(jobs) <= _FEW:
        recipes = {job.identity.recipe: job.config.tracking.stale_after for job in jobs}
        return [
            run
            for recipe, stale_after in recipes.items()
            for run in tracking.fetch_past_runs(experiment_id, recipe=recipe, stale_after=stale_after)
        ]
    pairs = {(job.config.model.name, job.config.data.name): job.config.tracking.stale_after for job in jobs}
    return [
        run
        for (model, data), stale_after in pairs.items()
        for run in tracking.fetch_past_runs(
            experiment_id, params={"model.name": model, "data.name": data}, stale_after=stale_after
        )
    ]


def fetch_examples(jobs: Sequence[Job], experiment_id: str) -> list[PastRun]:
    """Fetch some finished runs that take as long an epoch as the jobs."""
    from mnist_flow import tracking

    kinds = {tuple((key, str(job.params[key])) for key in SAME_SPEED if key in job.params) for job in jobs}
    return [
        run
        for kind in sorted(kinds)
        for run in tracking.fetch_past_runs(experiment_id, params=dict(kind), newest_finished=_EXAMPLES)
    ]
