"""What Hydra calls at the start and at the end of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mnist_flow.errors import Aborted
from mnist_flow.sweeps.session import get_session


class SweepCallback(Callback):
    """Opens a sweep before Hydra makes its sweeper, and ends it after the last job.

    The experiment is created here, before any job: workers that create it at the same time would race.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the jobs of a sweep, and open it where something is left to do; or print its plan.

        Raises:
            Aborted: the sweep cannot be; the cause says why.
        """
        # Imported here: Hydra makes this callback for single runs, too, which need nothing of a sweep.
        from mnist_flow.jobs.lookup import show_plan
        from mnist_flow.runtime.influences import settle_variables
        from mnist_flow.runtime.terminal import print_line
        from mnist_flow.sweeps.pool import start_fork_server
        from mnist_flow.sweeps.request import is_search, read_requests

        with _aborting():
            settle_variables()
            requests = read_requests(config)
            if requests[0].base.plan:
                for request in requests:
                    if request.preset is not None:
                        print_line(request.preset)
                    show_plan(request.jobs, request.n_workers)
                return
            if n_processes := max(request.n_pool_processes for request in requests):
                start_fork_server(n_processes)
            # Imported after the checks, because a wrong config is told at once, and while the fork server imports.
            if is_search(config):
                from mnist_flow.sweeps.search.opening import open_search

                with get_session().opening():
                    get_session().sweep = open_search(config)
                return
            from mnist_flow.sweeps.opening import open_sweep
            from mnist_flow.sweeps.series import SweepSeries

            several = len(requests) > 1
            with get_session().opening():
                get_session().sweep = SweepSeries(config, requests) if several else open_sweep(config, requests[0])

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End the sweep as finished; Hydra does not call this after an error or an interruption."""
        with _aborting():
            get_session().end_sweep("FINISHED")


@contextmanager
def _aborting() -> Iterator[None]:
    """Raise Aborted from any error in the block: Hydra turns an Exception of a callback into a warning and goes on."""
    try:
        yield
    except Exception as error:
        raise Aborted from error
