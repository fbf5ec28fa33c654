"""A job of a search: it asks the main process for a trial, trains it, and tells how it goes."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, flag_override

from mnist_flow.errors import BusyError, PrunedError, RunError, UserError
from mnist_flow.runs.observer import RunObserver
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.sweeps.search.messages import ADDRESS_VARIABLE, Assignment, connect_to_search

log = logging.getLogger(__name__)

# Seconds between two looks at a run of the same config that another process trains.
_POLL_SECONDS = 2.0


class LostSearchError(BaseException):
    """The main process is gone. No Exception, so that the run is marked KILLED, not FAILED: the search resumes it."""


def is_search_job() -> bool:
    """Whether this process has a job of a search."""
    return ADDRESS_VARIABLE in os.environ


def run_trial() -> float | list[float]:
    """Train the next trial of the search, if one is left.

    Returns:
        What `run_experiment` returns; NaN where the trial was pruned or failed, which the search knows already, or none
        was left.
    """
    try:
        connection = connect_to_search()
    except OSError as error:
        raise RunError(f"the search's main process does not answer ({error}); the same command resumes it") from error
    with connection:
        try:
            return _run_assignment(connection)
        except LostSearchError as error:
            raise RunError("the search's main process is gone; the same command resumes it") from error


def _run_assignment(connection: Connection) -> float | list[float]:
    assignment: Assignment | None = _ask(connection, "next")
    if assignment is None:
        return math.nan
    _tell_hydra(assignment)
    config = OmegaConf.create(dict(assignment.config))
    try:
        while True:
            try:
                result = run_experiment(config, _TrialObserver(connection, assignment))
                break
            except BusyError:
                # Another process trains the same config, and its result will be found.
                time.sleep(_POLL_SECONDS)
    except PrunedError as pruned:
        _ask(connection, "pruned", pruned.reason)
        return math.nan
    except (UserError, RunError) as error:
        _ask(connection, "failed", str(error))
        return math.nan
    except Exception as error:
        # Out of memory, say. The search goes on, and its tables have the reason.
        log.exception("trial %d failed", assignment.trial)
        _ask(connection, "failed", f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return math.nan
    _ask(connection, "complete")
    return result


def _tell_hydra(assignment: Assignment) -> None:
    """Let the job's own Hydra config have the trial's overrides and options, which its run logs and a rerun reads."""
    hydra: Any = HydraConfig.get()
    with flag_override(hydra, ["readonly", "struct"], False):
        hydra.overrides.task = list(assignment.overrides)
        hydra.runtime.choices = dict(assignment.options)


def _ask(connection: Connection, request: str, *arguments: Any) -> Any:
    try:
        connection.send((request, *arguments))
        return connection.recv()
    except (EOFError, OSError) as error:
        raise LostSearchError from error


class _TrialObserver(RunObserver):
    """Tells the search of its runs, and ends those that the search does not want."""

    def __init__(self, connection: Connection, assignment: Assignment) -> None:
        self._connection, self._assignment = connection, assignment

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._assignment.tags)

    def on_found(self, run_id: str) -> None:
        _ask(self._connection, "run", run_id, True)

    def on_start(self, run_id: str) -> None:
        _ask(self._connection, "run", run_id, False)

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        name = self._assignment.epoch_metric
        reason = _ask(self._connection, "epoch", epoch, metrics[name] if name is not None else None)
        if reason is not None:
            raise PrunedError(epoch, reason)

    def on_result(self, number: int, objectives: Sequence[float], is_last: bool) -> None:
        reason = _ask(self._connection, "result", number, list(objectives), is_last)
        if reason is not None:
            raise PrunedError(number, reason)
