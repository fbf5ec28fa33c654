"""The sweeper of grids. It stands here because Hydra looks for sweepers in the namespace package hydra_plugins only."""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


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

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, as Hydra asks of a sweeper."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Launch the jobs of the open sweep that are missing; none where every job was done or a plan was asked for."""
        from mnist_flow.sweeps.session import get_session

        sweep = get_session().sweep
        return [] if sweep is None else sweep.run(self._launch)

    def _launch(self, overrides: Sequence[Sequence[str]], first_number: int) -> list[JobReturn]:
        from mnist_flow.jobs.workers import count_workers
        from mnist_flow.sweeps.pool import list_pool_options

        assert self.config is not None
        assert self.launcher is not None
        launcher: Any = self.launcher
        if hasattr(launcher, "joblib"):
            launcher.joblib |= {"n_jobs": count_workers(self.config, len(overrides)), **list_pool_options()}
        size = self.max_batch_size or len(overrides)
        returns: list[JobReturn] = []
        for start in range(0, len(overrides), size):
            batch = overrides[start : start + size]
            returns += self.launcher.launch(batch, initial_job_idx=first_number + start)
        return returns
