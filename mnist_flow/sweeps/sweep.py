"""What Hydra calls around a sweep: check every job first, find what is done, open the parent run, launch what is
missing, and close the parent truthfully with its tables."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import Aborted, BusyError, ConfigError, RunError, TrackingError, UserError
from mnist_flow.jobs.composition import Job, compose_base, compose_jobs, read_overrides
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.jobs.lookup import look_up, match, show_plan
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import build_grid, build_replicates, build_summary, find_varying, label_jobs
from mnist_flow.jobs.workers import count_workers
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.terminal import SweepProgress, print_line, print_replicates
from mnist_flow.sweeps.pool import start_fork_server, stop_fork_server

if TYPE_CHECKING:
    import pandas as pd

    from mnist_flow.tracking import PastRun, TrackedRun

log = logging.getLogger(__name__)

# overrides of each job, number of the first → what became of each.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]

# Their processes have several jobs, one after another.
_REUSING_LAUNCHERS = ("BasicLauncher", "JoblibLauncher", "RayLauncher")
# Its workers have the variables of the shell that started their node; those of other launchers have this process's.
_REMOTE_LAUNCHER = "RayLauncher"
_CARRIED_VARIABLES = ("MNIST_NPZ", "TF_CPP_MIN_LOG_LEVEL")
# Seconds between two looks at runs of other processes.
_POLL_SECONDS = 2.0
# What becomes of a job; elsewhere: another process trained it; missing: the sweep ended before it.
_OUTCOMES = ("new", "resumed", "skipped", "elsewhere", "failed", "missing")
_HIGHER_IS_BETTER = ("val_accuracy", "test_accuracy")


class SweepCallback(Callback):
    """One parent run and one experiment a sweep; its jobs find them in environment variables that Hydra sets for them.

    The experiment is created here, before any job: workers that create it at the same time would race.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _open_sweep
        # Hydra turns an Exception of a callback into a warning and goes on.
        try:
            _open_sweep = _start(config)
        except Exception as error:
            raise Aborted from error

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            end_open_sweep("FINISHED")
        except Exception as error:
            raise Aborted from error


class Sweep:
    """An open sweep.

    Args:
        jobs: of the grid; empty where the sweeper chooses as it goes.
        base: config of any job, for what all share.
        parent: the parent run.
        planned: the jobs as they were at the start.
        count_workers: how many of so many jobs the launcher runs at a time; None where that is a cluster's choice.
    """

    def __init__(
        self,
        jobs: list[Job],
        base: TrainConfig,
        parent: TrackedRun,
        planned: list[PlannedJob],
        count_workers: Callable[[int], int | None],
    ) -> None:
        self.jobs = jobs
        self.base = base
        self.parent = parent
        self.before = planned
        self._count_workers = count_workers
        self._n_workers: int | None = None
        self.labels = label_jobs(jobs)
        self.failures: dict[str, str] = {}

    def plan(self) -> list[PlannedJob]:
        """The jobs as the server has them now."""
        return look_up(self.jobs, self.parent.experiment_id, None if self.base.resume else self.parent.run_id)

    def run(self, launch: Launch) -> list[JobReturn]:
        """Launch what is missing, until every job is done or has failed once.

        Raises:
            RunError: jobs failed.
        """
        from mnist_flow import tracking

        returns: list[JobReturn] = []
        planned, n_launched, told = self.before, 0, set[str]()
        n_done = len({one.job.identity.fingerprint for one in planned if one.state == "finished"})
        with SweepProgress(self.labels, n_done, self._fetch_progress):
            while True:
                todo = self._select(planned)
                if todo:
                    n_workers = self._count_workers(len(todo))
                    if n_workers is not None:
                        # Later rounds have fewer jobs: those that another process was to train, and did not.
                        self._n_workers = max(self._n_workers or 0, min(n_workers, len(todo)))
                    try:
                        batch = launch([job.overrides for job in todo], n_launched)
                    except Exception as error:
                        raise RunError(
                            f"the launcher broke down ({type(error).__name__}: {_first_line(error)}); the same command "
                            "goes on where this one stopped"
                        ) from error
                    n_launched += len(todo)
                    returns += batch
                    self._note_failures(todo, batch)
                try:
                    planned = tracking.wait_for(self.plan, self.base.tracking.patience)
                except TrackingError as error:
                    raise RunError(str(error)) from error
                if todo:
                    self._note_strays(todo, batch, planned)
                elsewhere = self._list_elsewhere(planned)
                if not elsewhere and not self._select(planned):
                    break
                for run in elsewhere:
                    if run.run_id not in told:
                        log.warning("waiting for run %s of %s", run.run_id, name_process(run.process))
                        told.add(run.run_id)
                # Also where another process was faster by a moment.
                time.sleep(_POLL_SECONDS)
        if self.failures:
            raise RunError(self._describe_failures())
        return returns

    def end(self, status: str) -> None:
        """Log the tables and end the parent run.

        Raises:
            UndeliveredError: the server is away; the message says where the parent's record is.
        """
        from mnist_flow import tracking

        if status == "KILLED":
            # It may be about to fork a process for the pool that has been stopped.
            stop_fork_server()
        # Who interrupts a sweep does not want to wait.
        patience = self.base.tracking.patience if status == "FINISHED" else 0
        try:
            closed, going_on = tracking.close_abandoned_children(self.parent, patience, self.base.tracking.stale_after)
            if closed:
                log.warning("runs of the sweep that were cut off and are marked KILLED: %d", closed)
            if going_on:
                log.warning("runs of the sweep that go on in other processes: %d", going_on)
            if self.jobs:
                self._log_tables(tracking.wait_for(self.plan, patience), print_them=status == "FINISHED")
        except TrackingError as error:
            log.warning("the sweep's tables are not logged: %s", error)
        self.parent.end(status, patience)

    def _select(self, planned: Sequence[PlannedJob]) -> list[Job]:
        """Jobs to launch: each fingerprint once, and none that has failed in this sweep."""
        todo: dict[str, Job] = {}
        for one in planned:
            fingerprint = one.job.identity.fingerprint
            if one.state in ("new", "interrupted") and fingerprint not in self.failures:
                todo.setdefault(fingerprint, one.job)
        return list(todo.values())

    def _note_failures(self, todo: Sequence[Job], returns: Sequence[JobReturn]) -> None:
        for job, result in zip(todo, returns, strict=True):
            if result.status == JobStatus.FAILED:
                error = result._return_value
                if not isinstance(error, BusyError):
                    self._fail(job.identity.fingerprint, _describe_error(error))

    def _note_strays(self, todo: Sequence[Job], returns: Sequence[JobReturn], planned: Sequence[PlannedJob]) -> None:
        """A job that ran to its end, and is still to be done, would be launched for ever."""
        finished = {one.job.identity.fingerprint for one in planned if one.state == "finished"}
        for job, result in zip(todo, returns, strict=True):
            fingerprint = job.identity.fingerprint
            if result.status == JobStatus.COMPLETED and fingerprint not in finished:
                self._fail(fingerprint, "it ended as another run than was planned: threads, data or code differ there")

    def _list_elsewhere(self, planned: Sequence[PlannedJob]) -> list[PastRun]:
        """Runs that other processes train. One that this sweep has given up on is not waited for."""
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
        from mnist_flow import tracking

        sweep = self.parent.experiment_id, self.parent.run_id
        return tracking.fetch_ended_children(*sweep, since), len(tracking.fetch_running_children(*sweep))

    def _log_tables(self, planned: list[PlannedJob], print_them: bool) -> None:
        outcomes = [self._describe_outcome(then, now) for then, now in zip(self.before, planned, strict=True)]
        summary = build_summary(planned, outcomes)
        replicates = build_replicates(summary)
        counts = Counter(outcomes)
        objective = self.base.objective
        metrics = {
            "jobs": len(planned),
            "jobs_finished": sum(one.state == "finished" for one in planned),
            **{f"jobs_{outcome}": counts[outcome] for outcome in _OUTCOMES},
            # So many jobs shared the cores.
            **({} if self._n_workers is None else {"workers": self._n_workers}),
        }
        if f"{objective}_mean" in replicates:
            means = replicates[f"{objective}_mean"]
            metrics[f"best_{objective}_mean"] = means.max() if objective in _HIGHER_IS_BETTER else means.min()
        # A sweep that is taken up again adds its numbers to those of the first time.
        step = self.parent.count_logged("jobs")
        self.parent.log_metrics(metrics, step=step)
        self.parent.log_artifacts(tables=_name_tables(summary=summary, replicates=replicates))
        if print_them:
            from mnist_flow import tracking

            _print_replicates(self.jobs, replicates, objective)
            where = f"run {self.parent.run_id} at {tracking.get_uri()}"
            print_line(f"more in sweep/ of the parent, {where}; look: {tracking.describe_ui_command()}")

    def _describe_outcome(self, then: PlannedJob, now: PlannedJob) -> str:
        if now.state != "finished":
            return "failed" if now.job.identity.fingerprint in self.failures else "missing"
        if then.state == "finished":
            return "skipped"
        return {"interrupted": "resumed", "alive": "elsewhere"}.get(then.state, "new")


# The sweep that this process has open. The command's edge must find it after Hydra has given up, hence module state.
_open_sweep: Sweep | None = None


def run_jobs(launch: Launch) -> list[JobReturn]:
    """What Hydra's sweeper calls: launch the jobs of the open sweep that are missing."""
    if _open_sweep is None:
        return []
    return _open_sweep.run(launch)


def end_open_sweep(status: str) -> None:
    """End the sweep that this process has open, if any: FINISHED, FAILED or KILLED.

    Hydra does not call `on_multirun_end` when a job raised or the sweep was interrupted: the command's edge calls this.
    """
    global _open_sweep
    if _open_sweep is not None:
        sweep, _open_sweep = _open_sweep, None
        sweep.end(status)


def _start(config: DictConfig) -> Sweep | None:
    """Everything before the first job; None: nothing is left to do."""
    is_grid = config.hydra.sweeper._target_.endswith(("ResumingSweeper", "BasicSweeper"))
    jobs = compose_jobs(config) if is_grid else []
    base = jobs[0].config if jobs else compose_base(config)
    launcher = config.hydra.launcher._target_
    _check(jobs, launcher)
    if launcher.startswith("hydra_plugins."):
        instantiate(config.hydra.launcher)  # One that is not installed is told before a run is open.
    n_workers = count_workers(config, len(jobs))
    if base.plan:
        if not is_grid:
            raise ConfigError("plan=true: this sweeper chooses its jobs as it goes")
        show_plan(jobs, n_workers)
        return None
    # joblib runs a pool of one in this process; variables that the user sets for jobs must be there before TensorFlow.
    if launcher.endswith("JoblibLauncher") and n_workers and n_workers > 1 and not config.hydra.job.env_set:
        start_fork_server(n_workers)

    # Imported here: a bad config is told at once, and `python -m mnist_flow.train --help` stays quick.
    from mnist_flow import tracking

    tracking.configure(base.tracking.uri)
    experiment_id = tracking.get_or_create_experiment(base.tracking.experiment_name)
    undelivered = Path(base.tracking.undelivered_dir)
    tracking.deliver_kept_records(undelivered)
    closed = Counter(kind for _, kind in tracking.close_stale_runs(experiment_id, base.tracking.stale_after))
    if closed:
        described = ", ".join(f"{kind or 'other'} run{'s' if n > 1 else ''}: {n}" for kind, n in closed.items())
        log.warning("marked KILLED, since their processes are gone: %s", described)
    planned = look_up(jobs, experiment_id) if base.resume else match([], jobs)
    _tell(planned)
    fingerprint = compute_fingerprint({"jobs": sorted({job.identity.fingerprint for job in jobs})}) if jobs else None
    if (
        planned
        and all(one.state == "finished" for one in planned)
        and not tracking.is_project_run()
        # A pool's workers outlive a killed main process, and may finish every job without it.
        and not tracking.was_cut_off(experiment_id, fingerprint, base.tracking.stale_after)
    ):
        replicates = build_replicates(build_summary(planned, ["skipped"] * len(planned)))
        _print_replicates(jobs, replicates, base.objective)
        return None
    parent = tracking.open_sweep(
        experiment_id,
        fingerprint,
        read_overrides(config.hydra.overrides.task),
        resume=base.resume,
        stale_after=base.tracking.stale_after,
        options=tracking.DeliveryOptions(base.tracking.patience, undelivered),
    )
    parent.log_artifacts(
        texts={"sweep/overrides.yaml": OmegaConf.to_yaml(config.hydra.overrides.task)},
        # At once, so that whoever looks at an unfinished sweep can tell what is missing.
        tables=_name_tables(grid=build_grid(jobs)) if jobs else {},
    )
    # Hydra composes each job's config with these overrides, and sets the variables around it, under any launcher.
    config.hydra.overrides.hydra += [
        f"+hydra.job.env_set.{tracking.EXPERIMENT_ID_VARIABLE}='{experiment_id}'",
        f"+hydra.job.env_set.{tracking.PARENT_RUN_ID_VARIABLE}='{parent.run_id}'",
        f"+hydra.job.env_set.{tracking.VARYING_VARIABLE}='{','.join(find_varying(jobs))}'",
        *(["replicates=1"] if jobs else []),
    ]
    if launcher.endswith(_REMOTE_LAUNCHER):
        given = {name: os.environ[name] for name in _CARRIED_VARIABLES if name in os.environ}
        config.hydra.overrides.hydra += carry_variables({**given, **tracking.list_variables()})
    return Sweep(jobs, base, parent, planned, partial(count_workers, config))


def carry_variables(variables: Mapping[str, str]) -> list[str]:
    """Overrides with which Hydra sets environment variables around each job.

    They hold no values, since Hydra's config is kept and logged. The values travel in the resolver, which is pickled.
    """

    def get_variable(name: str) -> str:
        return variables[name]

    OmegaConf.register_new_resolver("sweep_variable", get_variable, replace=True)
    return [f"+hydra.job.env_set.{name}='${{sweep_variable:{name}}}'" for name in variables]


def _check(jobs: Sequence[Job], launcher: str) -> None:
    """What must be one and the same for all jobs."""
    if len({job.config.tracking for job in jobs}) > 1:
        raise ConfigError(
            "tracking: a sweep has one tracking server and one experiment; don't sweep over tracking keys"
        )
    for key in ("resume", "plan"):
        if len({job.params[key] for job in jobs}) > 1:
            raise ConfigError(f"{key}: holds for the whole sweep; don't sweep over it")
    if len({job.config.training.threads for job in jobs}) > 1 and launcher.endswith(_REUSING_LAUNCHERS):
        raise ConfigError(
            "training.threads: TensorFlow keeps the threads of a process's first job, and this launcher's processes "
            "have several; make a sweep for each number"
        )


def _tell(planned: Sequence[PlannedJob]) -> None:
    """How many jobs are done, go on, and begin; and what changed since."""
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


def _name_tables(**tables: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each table by its paths: CSV for spreadsheets, JSON for `mlflow.load_table`."""
    return {f"sweep/{name}.{ending}": table for name, table in tables.items() for ending in ("csv", "json")}


def _print_replicates(jobs: Sequence[Job], replicates: pd.DataFrame, objective: str) -> None:
    print_replicates(replicates, [key for key in find_varying(jobs) if key != "seed"], objective)


def _describe_error(error: object) -> str:
    return str(error) if isinstance(error, (UserError, RunError)) else f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: object) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
