"""What a sweep asks for, read from its config and checked before anything is started. Imports no MLflow."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.composition import Job, compose_base, compose_sweeps
from mnist_flow.jobs.workers import count_workers
from mnist_flow.runtime.credentials import hide_credentials

# Launchers whose processes run several jobs one after another.
_REUSING_LAUNCHERS = ("BasicLauncher", "JoblibLauncher", "RayLauncher")


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep asks for."""

    # Every job of the grid; empty where the sweeper chooses its jobs as it goes.
    jobs: list[Job]
    # The config of any job, for the keys that all jobs share.
    base: TrainConfig
    # Number of jobs that run at the same time; None if a cluster decides.
    n_workers: int | None
    # Number of processes that the pool of this machine forks; 0 where it forks none.
    n_pool_processes: int
    # The override of its preset, where the command has a sweep for each of several.
    preset: str | None = None


def is_search(config: DictConfig) -> bool:
    """Whether a sweep is a search (`sweeps.search`), which reads and checks its space itself."""
    return bool(config.hydra.sweeper._target_.endswith("SearchSweeper"))


def read_requests(config: DictConfig) -> list[SweepRequest]:
    """Compose and check every job of the sweep that this config is for; or of one sweep for each of several presets.

    Raises:
        ConfigError: a job's config is wrong, or jobs differ where a sweep has one value.
        DataError: the data can't be had.
        HydraException: Hydra refuses an override, or the launcher is not installed.
    """
    is_grid = config.hydra.sweeper._target_.endswith(("ResumingSweeper", "BasicSweeper", "PlainSweeper"))
    sweeps = compose_sweeps(config) if is_grid else {None: []}
    requests = [_read_request(config, jobs, preset) for preset, jobs in sweeps.items()]
    if requests[0].base.plan and not is_grid and not is_search(config):
        raise ConfigError("plan=true: this sweeper chooses its jobs as it goes")
    if not requests[0].base.plan:
        for request in requests:
            _check_subfolder(config, request.jobs)
        _check_credentials(config, requests[0].base.tracking.uri)
        _make_folder(config)
    if config.hydra.launcher._target_.startswith("hydra_plugins."):
        instantiate(config.hydra.launcher)  # One that is not installed is told before a run is open.
    return requests


def _check_credentials(config: DictConfig, uri: str | None) -> None:
    """Refuse a typed password where the launcher keeps what was typed in files, which all nodes share.

    Raises:
        ConfigError: there is one.
    """
    address = urlsplit(uri or "")
    query = f"?{address.query}"
    has_password = address.password is not None or hide_credentials(query) != query
    if has_password and "submitit" in config.hydra.launcher._target_:
        raise ConfigError(
            f"tracking.uri={hide_credentials(str(uri))}: submitit would keep the password in .submitit; leave it out, "
            "and give the URI as MLFLOW_TRACKING_URI"
        )


def _make_folder(config: DictConfig) -> None:
    """Make the folder of a sweep, as Hydra's launchers do, before a run is open: it may not be one that can be made.

    Hydra composes it before the jobs, when nothing is known by the name `hydra:` yet.
    """
    try:
        folder = Path(str(config.hydra.sweep.dir))
    except OmegaConfBaseException as error:
        written = OmegaConf.to_container(config.hydra, resolve=False)["sweep"]["dir"]  # type: ignore[index, call-overload]
        raise ConfigError(
            f"hydra.sweep.dir={written}: Hydra makes this folder before it knows that name; write the folder itself, "
            "such as hydra.sweep.dir=logs, and what differs between jobs into hydra.sweep.subdir"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"hydra.sweep.dir={folder}: is no folder, and can't be made one; choose another") from error


def _check_subfolder(config: DictConfig, jobs: Sequence[Job]) -> None:
    """Refuse folders of the jobs' own whose names are too long, before a run is open; the longest job tells."""
    written = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index, call-overload]
    if written == "." or not jobs:
        return
    longest = max(jobs, key=lambda job: len(" ".join(job.overrides)))
    cfg = GlobalHydra.instance().config_loader().load_sweep_config(config, [*longest.overrides, "replicates=1"])
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = len(jobs)
    try:
        Path(max(Path(str(cfg.hydra.sweep.subdir)).parts, key=len, default=".")).stat()
    except OmegaConfBaseException:
        return  # What it holds is known within a job.
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            remedy = "write a shorter one, 'hydra.sweep.subdir=${hydra.job.num}'"
            raise ConfigError(f"hydra.sweep.subdir={written}: makes names that are too long; {remedy}") from error


def _read_request(config: DictConfig, jobs: list[Job], preset: str | None) -> SweepRequest:
    base = jobs[0].config if jobs else compose_base(config)
    launcher = config.hydra.launcher._target_
    check_jobs(jobs, launcher)
    n_workers = count_workers(config, config.hydra.sweeper.n_trials if is_search(config) else len(jobs))
    forks = (
        launcher.endswith("JoblibLauncher")
        # joblib runs a pool of one process in the main process.
        and (n_workers or 0) > 1
        # Variables that the user sets for the jobs must be there before TensorFlow is imported.
        and not config.hydra.job.env_set
    )
    return SweepRequest(jobs, base, n_workers, n_workers if forks and n_workers else 0, preset)


def check_jobs(jobs: Sequence[Job], launcher: str) -> None:
    """Check that the jobs agree on everything that holds for a whole sweep with this launcher.

    Raises:
        ConfigError: they differ.
    """
    if len({job.config.tracking for job in jobs}) > 1:
        raise ConfigError(
            "tracking: a sweep has one tracking server and one experiment, and these jobs have several; name one, "
            "tracking.experiment_name=NAME, or make a sweep for each"
        )
    for key in ("resume", "plan"):
        if len({job.params[key] for job in jobs}) > 1:
            raise ConfigError(f"{key}: holds for the whole sweep; don't sweep over it")
    if len({job.config.training.threads for job in jobs}) > 1 and launcher.endswith(_REUSING_LAUNCHERS):
        raise ConfigError(
            "training.threads: TensorFlow keeps the threads of a process's first job, and this launcher's processes "
            "have several; make a sweep for each number"
        )
