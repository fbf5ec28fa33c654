"""Hydra looks for sweepers in the namespace package hydra_plugins only; see mnist_flow.sweeps."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class ResumingSweeper(BasicSweeper):
    """Hands the jobs of a grid to the launcher that are not done yet."""

    def sweep(self, arguments: list[str]) -> list[Any]:
        from mnist_flow.sweeps import sweep

        assert self.launcher is not None
        return sweep.run_jobs(self._launch)

    def _launch(self, overrides: Sequence[Sequence[str]], first_number: int) -> list[Any]:
        from mnist_flow.jobs.workers import count_workers

        assert self.config is not None
        if hasattr(self.launcher, "joblib"):
            self.launcher.joblib["n_jobs"] = count_workers(self.config, len(overrides))
        size = self.max_batch_size or len(overrides)
        returns: list[Any] = []
        for start in range(0, len(overrides), size):
            batch = overrides[start : start + size]
            returns += self.launcher.launch(batch, initial_job_idx=first_number + start)
        return returns
