"""The sweepers of grids and of searches, and that of commands which open no sweep.

They stand here because Hydra looks for plugins in the namespace package hydra_plugins only.
"""

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OwnSweepersFirst(SearchPathPlugin):
    """Lets conf/hydra/sweeper/optuna.yaml be what it is where hydra-optuna-sweeper is installed.

    That plugin puts a config of the same name into Hydra's store, which Hydra would take for the schema of ours.
    Plugins of this kind are called when all plugins have been imported, and before any config is composed.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Take the other plugin's config out of Hydra's store; the search path stays as it is."""
        ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {}).pop("optuna.yaml", None)


class ResumingSweeper(Sweeper):
    """Launches the jobs of a grid that are not done yet.

    Args:
        max_batch_size: number of jobs that the launcher gets at a time; None: all.
        params: the grid of a preset, override by override; read from the config before (`jobs.composition`).
    """

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.locks: TemporaryDirectory[str] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, as Hydra asks of a sweeper."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Launch the jobs of the open sweep that are missing; none where every job was done or a plan was asked for."""
        from mnist_flow.runtime.signals import way_on_told
        from mnist_flow.sweeps.session import get_session

        assert self.config is not None
        sweep = get_session().sweep
        with way_on_told(holds=self.config.resume):
            return [] if sweep is None else sweep.run(self._launch)

    def _launch(self, overrides: Sequence[Sequence[str]], first_number: int) -> list[JobReturn]:
        from mnist_flow.jobs.workers import count_workers
        from mnist_flow.sweeps.pool import list_pool_options

        assert self.config is not None
        assert self.launcher is not None
        launcher: Any = self.launcher
        if hasattr(launcher, "joblib"):
            # It is there as long as the sweeper.
            self.locks = self.locks or TemporaryDirectory(prefix="mnist_flow_")
            options = list_pool_options(self.locks.name)
            launcher.joblib |= {"n_jobs": count_workers(self.config, len(overrides)), **options}
        size = self.max_batch_size or len(overrides)
        returns: list[JobReturn] = []
        for start in range(0, len(overrides), size):
            batch = overrides[start : start + size]
            returns += self.launcher.launch(batch, initial_job_idx=first_number + start)
        return returns


class PlainSweeper(BasicSweeper):
    """Launches every job of a grid, as Hydra's own sweeper does, but refuses a key without values."""

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """List the jobs, in batches.

        Raises:
            ConfigError: a key has no values; Hydra would take a sweep without jobs for done.
        """
        from mnist_flow.config.overrides import check_values

        for override in overrides:
            if override.is_discrete_sweep():
                check_values(override)
        return BasicSweeper.split_arguments(overrides, max_batch_size)


class SearchSweeper(ResumingSweeper):
    """Launches jobs that ask the open search for their trials; see `mnist_flow.sweeps.search`.

    Args:
        settings: of conf/hydra/sweeper/optuna.yaml, which the search reads from the config.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
