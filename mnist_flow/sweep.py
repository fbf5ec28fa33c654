"""What Hydra calls around a sweep: check every job first, open the parent run, close it truthfully."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_flow.config import TrainConfig, validate_config
from mnist_flow.data import load_data_set
from mnist_flow.errors import Aborted, ConfigError, UserError

log = logging.getLogger(__name__)


# Their jobs read the data where this process does, so it can be checked before any of them starts.
_LOCAL_LAUNCHERS = ("BasicLauncher", "JoblibLauncher")


class OpenSweep(NamedTuple):
    parent_run_id: str
    experiment_id: str


# The sweep that this process has open. The command's edge must find it after Hydra has given up, hence module state.
_open_sweep: OpenSweep | None = None


class SweepCallback(Callback):
    """One parent run and one experiment a sweep; its jobs find them in environment variables that Hydra sets for them.

    The experiment is created here, before any job: workers that create it at the same time would race.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra turns an Exception of a callback into a warning and goes on.
        try:
            self._start(config)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            raise Aborted from error

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        end_open_sweep("FINISHED")

    def _start(self, config: DictConfig) -> None:
        global _open_sweep
        jobs = [validate_config(job, TrainConfig) for job in compose_jobs(config)]
        if len({job.tracking for job in jobs}) > 1:
            raise ConfigError(
                "tracking: a sweep has one tracking server and one experiment; don't sweep over tracking keys"
            )
        if any(config.hydra.launcher._target_.endswith(launcher) for launcher in _LOCAL_LAUNCHERS):
            for name, path in {(job.data.name, job.data.path) for job in jobs}:
                load_data_set(name, path)

        # Imported here: a bad config is told at once, and `python -m mnist_flow.train --help` stays quick.
        from mnist_flow import tracking

        tracking.configure(jobs[0].tracking.uri)
        experiment_id = tracking.get_or_create_experiment(jobs[0].tracking.experiment_name)
        parent_run_id = tracking.create_sweep(experiment_id, list(config.hydra.overrides.task))
        _open_sweep = OpenSweep(parent_run_id, experiment_id)
        # Hydra composes each job's config with these overrides, and sets the variables around it, under any launcher.
        config.hydra.overrides.hydra += [
            f"+hydra.job.env_set.{tracking.EXPERIMENT_ID_VARIABLE}='{experiment_id}'",
            f"+hydra.job.env_set.{tracking.PARENT_RUN_ID_VARIABLE}='{parent_run_id}'",
        ]


def end_open_sweep(status: str) -> None:
    """End the parent run that this process opened, if it has one open: FINISHED, FAILED or KILLED.

    Hydra does not call `on_multirun_end` when a job raised or the sweep was interrupted: the command's edge calls this.
    """
    global _open_sweep
    if _open_sweep is None:
        return

    from mnist_flow import tracking

    sweep, _open_sweep = _open_sweep, None
    abandoned = tracking.end_sweep(sweep.parent_run_id, sweep.experiment_id, status)
    if abandoned:
        log.warning("%d runs of the sweep were still going and are marked KILLED", abandoned)


def compose_jobs(config: DictConfig) -> list[DictConfig]:
    """The config of every job of a grid sweep, in order; of other sweepers, which choose as they go, only the base."""
    loader = GlobalHydra.instance().config_loader()
    overrides = list(config.hydra.overrides.task)
    if config.hydra.sweeper._target_.endswith("BasicSweeper"):
        overrides = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()] + overrides
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
        job_overrides = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    else:
        job_overrides = [[]]
    jobs = []
    for job in job_overrides:
        cfg = loader.load_sweep_config(config, job)
        with open_dict(cfg):
            del cfg["hydra"]
        jobs.append(cfg)
    return jobs
