"""Sweeps over several presets, one after another: each with its own grid, below a parent run of its own."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from mnist_flow.errors import RunError, UserError
from mnist_flow.jobs.grids import name_key, read_overrides
from mnist_flow.runtime.terminal import print_line
from mnist_flow.sweeps.opening import open_sweep
from mnist_flow.sweeps.request import SweepRequest
from mnist_flow.sweeps.session import get_session
from mnist_flow.sweeps.sweep import Launch, Sweep


class SweepSeries:
    """Opens, runs and ends one sweep after another; each is what it would be if its preset had been typed alone.

    Args:
        config: Hydra's, of the command; for each sweep it gets the overrides that its jobs are told.
        requests: of the sweeps, checked.
    """

    def __init__(self, config: DictConfig, requests: Sequence[SweepRequest]) -> None:
        self._config, self._requests = config, requests
        self._open: Sweep | None = None

    def run(self, launch: Launch) -> list[JobReturn]:
        """Run every sweep, also after one whose jobs failed.

        Raises:
            RunError: jobs of a sweep failed, or its launcher broke down; the others have been run.
        """
        typed = self._config.hydra.overrides.copy()
        returns: list[JobReturn] = []
        failures = []
        for request in self._requests:
            assert request.preset is not None
            print_line(request.preset)
            self._config.hydra.overrides.hydra = read_overrides(typed.hydra)
            self._config.hydra.overrides.task = [
                request.preset if name_key(text) == "experiment" else text for text in read_overrides(typed.task)
            ]
            status = "FINISHED"
            try:
                with get_session().opening():
                    self._open = open_sweep(self._config, request)
                returns += self._open.run(launch) if self._open is not None else []
            except (RunError, UserError) as error:
                failures.append(f"{request.preset}: {error}")
                status = "FAILED"
            try:
                self.end(status)
            except RunError as error:
                failures.append(f"{request.preset}: {error}")
        if failures:
            raise RunError("; ".join(failures))
        return returns

    def end(self, status: str) -> None:
        """End the sweep that is open, if any: FINISHED, FAILED or KILLED.

        Raises:
            UndeliveredError: the tracking server does not answer; the message says where the record is kept.
        """
        if self._open is not None:
            sweep, self._open = self._open, None
            sweep.end(status)
