"""The jobs of a sweep: what Hydra's overrides multiply out to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.identity import Identity, identify
from mnist_flow.runtime.environment import count_cores

# What a process that trains on MNIST takes at most.
_WORKER_BYTES = 1.6e9


@dataclass(frozen=True)
class Job:
    """One training run to be."""

    # As Hydra's launchers take them.
    overrides: tuple[str, ...]
    config: TrainConfig
    identity: Identity
    # Flat config paths, as MLflow's params have them.
    params: dict[str, Any]


def compose_jobs(config: DictConfig) -> list[Job]:
    """The jobs of a grid sweep, in order, replicates multiplied out.

    Args:
        config: what Hydra composed for the whole sweep.

    Raises:
        ConfigError: a job's config is wrong.
        DataError: the data can't be had.
    """
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    typed = read_overrides(config.hydra.overrides.task)
    # What is typed takes the place of a preset's choices.
    names = {_name_key(text) for text in typed}
    params = config.hydra.sweeper.get("params") or {}
    overrides = [f"{key}={value}" for key, value in params.items() if key not in names] + typed
    parser = OverridesParser.create(config_loader=loader)
    grid = BasicSweeper.split_arguments(parser.parse_overrides(overrides), None)[0]
    composer = _Composer(config, loader, parser)
    jobs = []
    for chosen in grid:
        jobs += list_replicates(chosen, validate_config(composer.compose(chosen), TrainConfig))
    return jobs


def list_replicates(overrides: Sequence[str], config: TrainConfig) -> list[Job]:
    """The jobs with the seeds seed, seed+1, … of one config.

    Args:
        overrides: that made it.
        config: with `replicates`.

    Raises:
        ConfigError: the model or the augmentation can't take images of this size.
        DataError: the data, whose digest is part of a job's identity, can't be had.
    """
    info = load_info(config.data.name, config.data.path, config.data.module)
    try:
        config.model.check_input(info.input_shape)
        config.augmentation.check_input(info.input_shape)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    jobs = []
    for seed in range(config.seed, config.seed + config.replicates):
        kept = [text for text in overrides if _name_key(text) != "replicates"]
        if config.replicates > 1:
            kept = [text for text in kept if _name_key(text) != "seed"] + [f"seed={seed}"]
        one = config.model_copy(update={"seed": seed, "replicates": 1})
        jobs.append(Job(tuple(kept), one, identify(one, info.digest), one.list_params()))
    return jobs


def read_overrides(overrides: ListConfig) -> list[str]:
    """Overrides as they were typed: `hydra.sweep.subdir=${hydra.job.num}` has a value only within a job."""
    typed: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(text) for text in typed]


def _name_key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def compose_base(config: DictConfig) -> TrainConfig:
    """The config that all jobs of a sweep start from, where its sweeper chooses them as it goes.

    Raises:
        ConfigError: it is wrong.
    """
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    return validate_config(_compose(config, loader, []), TrainConfig)


def count_workers(config: DictConfig, n_jobs: int) -> int | None:
    """Jobs at a time of a multirun config's launcher; None where it leaves that to a cluster.

    Args:
        config: that Hydra composed, launcher included.
        n_jobs: of the sweep that are to be done.
    """
    launcher = config.hydra.launcher
    if launcher._target_.endswith("BasicLauncher"):
        return 1
    if launcher._target_.endswith("JoblibLauncher"):
        if launcher.n_jobs == -1:
            return choose_workers(n_jobs)
        return launcher.n_jobs if launcher.n_jobs > 0 else max(1, count_cores() + 1 + launcher.n_jobs)
    return None


def choose_workers(n_jobs: int) -> int:
    """Processes of a pool on this machine: one a core, as far as memory allows.

    Where there are less than twice as many jobs as cores, each has a process, if memory allows it: they share the
    cores to the end, while in two rounds some cores are idle in the second.
    """
    cores, fitting = count_cores(), int(psutil.virtual_memory().available / _WORKER_BYTES)
    if cores < n_jobs < 2 * cores and n_jobs <= fitting:
        return n_jobs
    # For fewer jobs, too: joblib would run a pool of one in the main process.
    return max(1, min(cores, fitting))


def _compose(config: DictConfig, loader: ConfigLoaderImpl, overrides: list[str]) -> DictConfig:
    cfg = loader.load_sweep_config(config, overrides)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


class _Composer:
    """Composes once for each choice of config groups, and then sets values: a thousand jobs in seconds."""

    def __init__(self, config: DictConfig, loader: ConfigLoaderImpl, parser: OverridesParser) -> None:
        self._config = config
        self._loader = loader
        self._parser = parser
        # Knows the config groups, those of a hydra.searchpath included.
        _, self._repository = loader._parse_overrides_and_create_caching_repo(
            config.hydra.job.config_name, read_overrides(config.hydra.overrides.hydra)
        )
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, overrides: list[str]) -> DictConfig:
        groups = tuple(text for text in overrides if self._chooses_group(text))
        values = [self._parse(text) for text in overrides if text not in groups]
        if groups not in self._bases:
            self._bases[groups] = _compose(self._config, self._loader, list(groups))
        cfg = copy.deepcopy(self._bases[groups])
        # What Hydra itself does with them after composing.
        self._loader._apply_overrides_to_config(values, cfg)
        return cfg

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            self._parsed[text] = self._parser.parse_override(text)
        return self._parsed[text]

    def _chooses_group(self, text: str) -> bool:
        override = self._parse(text)
        return self._repository.group_exists(override.key_or_group) and not isinstance(override.value(), dict)
