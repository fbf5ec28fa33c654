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

# Params that the runs of a model are asked for by, where all jobs have the same value: sweeps mostly vary these, and a
# large store would answer with every run of the model.
_SWEPT = ("seed", "reg", "epochs", "batch_size", "optimizer.learning_rate")
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
    tracking.configure(base.tracking.uri, base.tracking.experiment_name, writes=False)
    experiment_id = tracking.find_experiment(base.tracking.experiment_name)
    past = _fetch_runs(jobs, experiment_id) if experiment_id is not None else []
    planned = match(past if base.resume else [], jobs)
    todo = [one.job for one in planned if one.state in ("new", "interrupted")]
    examples = fetch_examples(todo, experiment_id) if experiment_id is not None else []
    print_plan(build_grid(jobs), [one.state for one in planned], estimate_seconds(todo, examples), n_workers)


def _fetch_runs(jobs: Sequence[Job], experiment_id: str) -> list[PastRun]:
    """Fetch the runs that jobs may have, with one request per pair of model and data set; of one job by its recipe."""
    from mnist_flow import tracking

    if len(jobs) == 1:
        # A run that has just been made has its tags already, and no params.
        (job,) = jobs
        stale_after = job.config.tracking.stale_after
        return tracking.fetch_past_runs(experiment_id, recipe=job.identity.recipe, stale_after=stale_after)
    pairs: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        pairs.setdefault((job.config.model.name, job.config.data.name), []).append(job)
    return [
        run
        for alike in pairs.values()
        for run in tracking.fetch_past_runs(
            experiment_id, params=_list_shared(alike), stale_after=alike[0].config.tracking.stale_after
        )
    ]


def _list_shared(jobs: Sequence[Job]) -> dict[str, str]:
    """The values of the params above that all jobs share, and of model and data, as MLflow has them."""
    first = jobs[0].params
    keys = [key for key in _SWEPT if all(job.params[key] == first[key] for job in jobs)]
    return {key: str(first[key]) for key in ("model.name", "data.name", *keys)}


def fetch_examples(jobs: Sequence[Job], experiment_id: str) -> list[PastRun]:
    """Fetch some finished runs that take as long an epoch as the jobs."""
    from mnist_flow import tracking

    kinds = {
        (job.data_digest, tuple((key, str(job.params[key])) for key in SAME_SPEED if key in job.params)) for job in jobs
    }
    return [
        run
        for digest, params in sorted(kinds)
        for run in tracking.fetch_past_runs(
            experiment_id, params=dict(params), data_digest=digest, newest_finished=_EXAMPLES
        )
    ]
