"""The jobs of a sweep: every combination of the values in its overrides, each with its config."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_flow.config.overrides import write_override
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info
from mnist_flow.errors import ConfigError, UserError
from mnist_flow.jobs.grids import list_grids, multiply_grid, name_key, read_overrides
from mnist_flow.jobs.identity import Identity, identify


@dataclass(frozen=True)
class Job:
    """One training run that a sweep asks for."""

    # The overrides that Hydra's launchers compose the job's config from.
    overrides: tuple[str, ...]
    config: TrainConfig
    identity: Identity
    # Digest of its images and labels.
    data_digest: str
    # The config as flat paths (`optimizer.learning_rate`) with their values, as they are logged to MLflow.
    params: dict[str, Any]


def compose_jobs(config: DictConfig) -> list[Job]:
    """Compose the jobs of a grid sweep, in the order of the grid, with one job per replicate; see `compose_sweeps`."""
    return [job for jobs in compose_sweeps(config).values() for job in jobs]


def compose_sweeps(config: DictConfig) -> dict[str | None, list[Job]]:
    """Compose the jobs of a grid sweep, or of one sweep for each preset where several were typed.

    Args:
        config: as Hydra composed it for the whole command, with its `hydra` section.

    Returns:
        By the override of the preset, or by None where there is one sweep: its jobs, in the order of the grid, with one
        job per replicate.

    Raises:
        ConfigError: the config of a job is wrong.
        DataError: the data can't be had.
        HydraException: Hydra refuses an override.
    """
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    composer = Composer(config, loader, parser)
    sweeps: dict[str | None, list[Job]] = {}
    for grid in list_grids(config, loader, parser):
        jobs = sweeps.setdefault(grid.preset, [])
        try:
            for chosen in multiply_grid(parser.parse_overrides(grid.overrides)):
                jobs += list_replicates(chosen, validate_config(composer.compose(chosen), TrainConfig))
        except (UserError, HydraException) as error:
            if grid.origin is not None:
                error.add_note(grid.origin)
            raise
    return sweeps


def list_replicates(overrides: Sequence[str], config: TrainConfig) -> list[Job]:
    """List the jobs that one config asks for: `replicates` of them, with the seeds seed, seed + 1, …

    Args:
        overrides: the overrides that the config was composed from.
        config: the config, with its `replicates`.

    Raises:
        ConfigError: the model or the augmentation can't take images of this size.
        DataError: the data, whose digest is part of a job's identity, can't be had.
    """
    for key in ("zip", "jobs"):
        if (value := getattr(config, key)) is not None:
            of_preset = "; a preset has it below hydra.sweeper.params" if key == "zip" else ""
            raise ConfigError(f"{write_override(key, value)}: is for grids; type it beside -m{of_preset}")
    info = load_info(config.data.name, config.data.path, config.data.module, config.data.list_options())
    try:
        config.model.check_input(info.input_shape)
        config.augmentation.check_input(info.input_shape)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    jobs = []
    for seed in range(config.seed, config.seed + config.replicates):
        kept = [text for text in overrides if name_key(text) != "replicates"]
        if config.replicates > 1:
            kept = [text for text in kept if name_key(text) != "seed"] + [f"seed={seed}"]
        one = config.model_copy(update={"seed": seed, "replicates": 1})
        jobs.append(Job(tuple(kept), one, identify(one, info.digest), info.digest, one.list_params()))
    return jobs


def compose_base(config: DictConfig) -> TrainConfig:
    """Compose the config that all jobs of a sweep start from, for a sweeper that chooses its jobs as it goes.

    Raises:
        ConfigError: the config is wrong.
    """
    return validate_config(_compose(config, GlobalHydra.instance().config_loader(), [])[0], TrainConfig)


def _compose(config: DictConfig, loader: ConfigLoader, overrides: list[str]) -> tuple[DictConfig, dict[str, Any]]:
    """Compose the config of a job without Hydra's own, and the option of each config group."""
    cfg = loader.load_sweep_config(config, overrides)
    options = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, options


class Composer:
    """Composes the configs of many jobs, each equal to what Hydra composes from the job's overrides.

    Hydra takes 15 ms or more for each config. Most jobs of a grid choose the same option of every config group and
    differ in plain values only, so Hydra composes once per choice of options, and the values are set in copies.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader, parser: OverridesParser) -> None:
        self._config = config
        self._loader = loader
        self._parser = parser
        # The config groups of all search paths, hydra.searchpath included.
        self._groups = loader.get_group_options(
            "", ObjectType.GROUP, config.hydra.job.config_name, read_overrides(config.hydra.overrides.hydra)
        )
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}

    def compose(self, overrides: list[str]) -> DictConfig:
        """Compose the config of a job.

        Raises:
            HydraException: Hydra refuses an override.
        """
        values = [self._parse(text) for text in overrides if not self.chooses_option(text)]
        if any(value.is_add() or value.is_delete() for value in values):
            return _compose(self._config, self._loader, overrides)[0]
        cfg = copy.deepcopy(self._compose_base(overrides)[0])
        try:
            for value in values:
                OmegaConf.update(cfg, value.key_or_group, value.value(), merge=True, force_add=value.is_force_add())
        except OmegaConfBaseException:
            # Hydra refuses it as well, and its message names the override.
            return _compose(self._config, self._loader, overrides)[0]
        return cfg

    def list_options(self, overrides: Sequence[str]) -> dict[str, Any]:
        """List the option of each config group in the config of a job, as Hydra's own config has them."""
        return self._compose_base(overrides)[1]

    def _compose_base(self, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        chosen = tuple(text for text in overrides if self.chooses_option(text))
        if chosen not in self._bases:
            self._bases[chosen] = _compose(self._config, self._loader, list(chosen))
        return self._bases[chosen]

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            self._parsed[text] = self._parser.parse_override(text)
        return self._parsed[text]

    def chooses_option(self, text: str) -> bool:
        """Whether an override chooses an option of a config group, and does not set values in the group's config."""
        override = self._parse(text)
        names_group = override.key_or_group.partition("/")[0] in self._groups or override.package is not None
        return names_group and not isinstance(override.value(), dict)
