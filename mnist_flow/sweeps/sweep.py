"""A sweep that is open: it launches the jobs that are missing, round by round, and ends its parent run truthfully."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import BusyError, RunError, TrackingError, UserError
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.lookup import look_up
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import label_jobs
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.terminal import SweepProgress, print_line
from mnist_flow.sweeps.models import choose_best_run, settle_models
from mnist_flow.sweeps.outcomes import describe_outcome, describe_sweep, log_outcomes, print_best
from mnist_flow.sweeps.pool import stop_workers
from mnist_flow.tracking import PastRun, TrackedRun

log = logging.getLogger(__name__)

# The overrides of each job, and the number of the first → what became of each job.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]

# Seconds between two requests for the runs of other processes.
_POLL_SECONDS = 2.0


@dataclass
class Sweep:
    """A sweep that is open."""

    # Every job of the grid; empty where the sweeper chooses its jobs as it goes.
    jobs: list[Job]
    # The config of any job, for the keys that all jobs share.
    base: TrainConfig
    parent: TrackedRun
    # The jobs with their runs, as they were at the start.
    before: list[PlannedJob]
    # As it was typed.
    command: str
    # Number of jobs to launch → number that run at the same time; None if a cluster decides.
    count_workers: Callable[[int], int | None]
    # Fingerprint → what to say of a job that failed.
    failures: dict[str, str] = field(default_factory=dict)
    n_workers: int | None = None

    @cached_property
    def labels(self) -> dict[str, str]:
        """Names of the jobs by fingerprint."""
        return label_jobs(self.jobs)

    def fetch_plan(self) -> list[PlannedJob]:
        """Look the jobs up on the tracking server, as they are now."""
        return look_up(self.jobs, self.parent.experiment_id, None if self.base.resume else self.parent.run_id)

    def run(self, launch: Launch) -> list[JobReturn]:
        """Launch what is missing, until every job is done or has failed once.

        Raises:
            RunError: jobs failed, the launcher broke down, or the tracking server stayed away.
        """
        returns: list[JobReturn] = []
        planned, told = self.before, set[str]()
        n_done = len({one.job.identity.fingerprint for one in planned if one.state == "finished"})
        with SweepProgress(self.labels, n_done, self._fetch_progress):
            while True:
                todo = self._select(planned)
                batch = self._launch(launch, todo, first_number=len(returns)) if todo else []
                returns += batch
                self._note_failures(todo, batch)
                try:
                    planned = tracking.wait_for(self.fetch_plan, self.base.tracking.patience)
                except TrackingError as error:
                    raise RunError(str(error)) from error
                self._note_strays(todo, batch, planned)
                elsewhere = self._list_elsewhere(planned)
                if not elsewhere and not self._select(planned):
                    break
                for run in elsewhere:
                    if run.run_id not in told:
                        log.warning("waiting for run %s of %s", run.run_id, name_process(run.process))
                        told.add(run.run_id)
                # Wait also where a job is to be launched again: another process began it a moment before ours.
                time.sleep(_POLL_SECONDS)
        if self.failures:
            raise RunError(self._describe_failures())
        return returns

    def end(self, status: str) -> None:
        """Log the tables and end the parent run: FINISHED, FAILED or KILLED.

        Raises:
            UndeliveredError: the tracking server does not answer; the message says where the record is kept.
            RunError: the best model can't be registered, or those that are not kept can't be deleted.
        """
        trouble = ""
        if status == "KILLED":
            stop_workers()
        # Who interrupts a sweep does not want to wait.
        patience = self.base.tracking.patience if status == "FINISHED" else 0
        try:
            closed, going_on = tracking.close_abandoned_children(self.parent, patience, self.base.tracking.stale_after)
            if closed:
                log.warning("runs of the sweep that were cut off and are marked KILLED: %d", closed)
            if going_on:
                log.warning("runs of the sweep that go on in other processes: %d", going_on)
            if self.jobs:
                trouble = self._log_outcomes(tracking.wait_for(self.fetch_plan, patience), status)
        except TrackingError as error:
            log.warning("the sweep's tables are not logged: %s", error)
        self.parent.end(status, patience)
        if trouble:
            raise RunError(trouble)

    def _launch(self, launch: Launch, todo: Sequence[Job], first_number: int) -> Sequence[JobReturn]:
        n_workers = self.count_workers(len(todo))
        if n_workers is not None:
            # Later rounds have fewer jobs: those that another process began, and did not finish.
            self.n_workers = max(self.n_workers or 0, min(n_workers, len(todo)))
        try:
            return launch([job.overrides for job in todo], first_number)
        except Exception as error:
            raise RunError(
                f"the launcher broke down ({type(error).__name__}: {_first_line(error)}); the same command "
                "goes on where this one stopped"
            ) from error

    def _select(self, planned: Sequence[PlannedJob]) -> list[Job]:
        """Select the jobs to launch: each fingerprint once, and none that has failed in this sweep."""
        todo: dict[str, Job] = {}
        for one in planned:
            fingerprint = one.job.identity.fingerprint
            if one.state in ("new", "interrupted") and fingerprint not in self.failures:
                todo.setdefault(fingerprint, one.job)
        return list(todo.values())

    def _note_failures(self, todo: Sequence[Job], returns: Sequence[JobReturn]) -> None:
        for job, result in zip(todo, returns, strict=True):
            error = get_error(result)
            # A job that another process runs already is waited for.
            if error is not None and not isinstance(error, BusyError):
                self._fail(job.identity.fingerprint, _describe_error(error))

    def _note_strays(self, todo: Sequence[Job], returns: Sequence[JobReturn], planned: Sequence[PlannedJob]) -> None:
        """Fail jobs that completed without a finished run, to avoid launching them again for ever."""
        finished = {one.job.identity.fingerprint for one in planned if one.state == "finished"}
        for job, result in zip(todo, returns, strict=True):
            fingerprint = job.identity.fingerprint
            if result.status == JobStatus.COMPLETED and fingerprint not in finished:
                self._fail(fingerprint, "it ended as another run than was planned: threads, data or code differ there")

    def _list_elsewhere(self, planned: Sequence[PlannedJob]) -> list[PastRun]:
        """List the runs that other processes train, without those of jobs that failed in this sweep."""
        return [
            one.run
            for one in planned
            if one.state == "alive" and one.run is not None and one.job.identity.fingerprint not in self.failures
        ]

    def _fail(self, fingerprint: str, reason: str) -> None:
        self.failures[fingerprint] = f"{self.labels[fingerprint]}: {reason}"
        log.error("job %s", self.failures[fingerprint])

    def _describe_failures(self) -> str:
        shown = list(self.failures.values())[:5]
        more = f"; and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        return f"{len(self.failures)} of {len(self.jobs)} jobs failed: " + "; ".join(shown) + more

    def _fetch_progress(self, since: int) -> tuple[list[Any], int]:
        sweep = self.parent.experiment_id, self.parent.run_id
        return tracking.fetch_ended_children(*sweep, since), len(tracking.fetch_running_children(*sweep))

    def _log_outcomes(self, planned: list[PlannedJob], status: str) -> str:
        """Log the tables; unless the sweep was interrupted print the best and where they are.

        Once all jobs are finished, settle the models; returns what of that can't be done.
        """
        outcomes = [describe_outcome(*pair, self.failures) for pair in zip(self.before, planned, strict=True)]
        objective = self.base.objective
        replicates = log_outcomes(self.parent, planned, outcomes, objective, self.n_workers)
        n_finished = sum(one.state == "finished" for one in planned)
        counted = f"{n_finished} of {len(planned)} jobs are finished."
        told = describe_sweep(self.jobs, replicates, objective, self.base.tracking.experiment_name)
        failed = self._describe_failures() if self.failures else ""
        note = tracking.join_parts(told, counted, failed, f"Made by: `{self.command}`")
        self.parent.set_tags({tracking.NOTE_TAG: note})
        trouble = ""
        if status == "FINISHED":
            best = choose_best_run([one.run for one in planned if one.run is not None], objective)
            trouble = settle_models(self.base.tracking, self.parent.experiment_id, self.parent.run_id, best)
        if status != "KILLED":
            print_best(self.jobs, replicates, objective)
            where = f"run {self.parent.run_id} at {tracking.get_uri()}"
            look = tracking.describe_look(self.parent.experiment_id, self.parent.run_id)
            print_line(f"more in sweep/ of the parent, {where}; look: {look}")
        return trouble


def get_error(result: JobReturn) -> Exception | None:
    """Return the exception that ended a job; None where the job completed."""
    try:
        # Hydra raises the exception here, and writes a line of its own to stderr before it.
        with redirect_stderr(io.StringIO()):
            _ = result.return_value
    except Exception as error:
        return error
    return None


def _describe_error(error: Exception) -> str:
    return str(error) if isinstance(error, (UserError, RunError)) else f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
