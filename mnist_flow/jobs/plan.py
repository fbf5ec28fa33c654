"""Match the jobs of a sweep with past runs, and estimate how long the rest will take. Asks no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from mnist_flow.jobs.composition import Job

if TYPE_CHECKING:
    from mnist_flow.tracking import PastRun

# finished: is skipped. alive: another process trains it. interrupted: is resumed from its checkpoint. new: has no run.
State = Literal["finished", "alive", "interrupted", "new"]


# Seconds that a run takes at most for everything but its training: loading, evaluation, logging.
_BESIDES_TRAINING = 10.0
# Params on which the speed of a run depends, beside the digest of its data.
SAME_SPEED = ("model.name", "model.hidden_units")


@dataclass(frozen=True)
class PlannedJob:
    """A job and the run that it already has, if any."""

    job: Job
    state: State
    run: PastRun | None
    # The run was finished by another version of the code. (An interrupted run is resumed only by its own version.)
    other_code: bool = False
    # The job is new, but a finished run has the same config and other data.
    other_data: bool = False


def plan_jobs(
    jobs: Sequence[Job],
    past_runs: Iterable[PastRun],
    *,
    code: str,
    has_checkpoint: Callable[[str], bool],
) -> list[PlannedJob]:
    """Match each job with the run that it already has, if any, among past runs, the oldest first.

    `code` is its version now, and `has_checkpoint` tells whether a run, by id, can go on from here.
    """
    by_fingerprint: dict[str, list[PastRun]] = {}
    finished: dict[str, set[str]] = {}
    for past in past_runs:
        by_fingerprint.setdefault(past.fingerprint, []).append(past)
        if past.state == "finished":
            finished.setdefault(past.recipe, set()).add(past.fingerprint)
    planned = []
    for job in jobs:
        keep = job.config.tracking.changed_code == "keep"
        runs = [
            run
            for run in by_fingerprint.get(job.identity.fingerprint, [])
            if keep or run.state == "alive" or run.code == code
        ]
        state, run = _choose(runs, lambda run: run.code == code and has_checkpoint(run.run_id))
        planned.append(
            PlannedJob(
                job,
                state,
                run,
                other_code=run is not None and state == "finished" and run.code != code,
                other_data=state == "new"
                and bool(finished.get(job.identity.recipe, set()) - {job.identity.fingerprint}),
            )
        )
    return planned


def _choose(runs: list[PastRun], can_go_on: Callable[[PastRun], bool]) -> tuple[State, PastRun | None]:
    """Choose the last finished run, else the first that another process trains, else the last that can be resumed."""
    finished = [run for run in runs if run.state == "finished"]
    alive = [run for run in runs if run.state == "alive"]
    resumable = [run for run in runs if run.state == "interrupted" and can_go_on(run)]
    if finished:
        return "finished", finished[-1]
    if alive:
        return "alive", alive[0]
    if resumable:
        return "interrupted", resumable[-1]
    return "new", None


def estimate_seconds(jobs: Sequence[Job], past_runs: Iterable[PastRun]) -> float | None:
    """Estimate the computing time of jobs in seconds, from finished runs of the same model on the same data.

    Returns:
        The sum over all jobs, as if one ran at a time; None if a model has no finished run yet.
    """
    rates: dict[tuple[str, ...], list[float]] = {}
    for past in past_runs:
        if past.state == "finished" and past.params.get("epochs", "").isdecimal():
            key = (past.data_digest, *(past.params.get(name, "") for name in SAME_SPEED))
            rates.setdefault(key, []).append(_measure_seconds(past) / int(past.params["epochs"]))
    total = 0.0
    for job in jobs:
        key = (job.data_digest, *(str(job.params.get(name, "")) for name in SAME_SPEED))
        if key not in rates:
            return None
        total += median(rates[key]) * job.config.epochs
    return total


def _measure_seconds(past: PastRun) -> float:
    """Measure the computing time of a finished run in seconds, without the pause before a run was resumed."""
    if "fit_seconds" not in past.metrics:
        return past.seconds
    return min(past.seconds, past.metrics["fit_seconds"] + _BESIDES_TRAINING)
