"""The model of a run in MLflow's registry, where `tracking.register` asks for it."""

from __future__ import annotations

from collections.abc import Collection

from mnist_flow import tracking
from mnist_flow.config.tracking import TrackingConfig
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.terminal import print_line


def find_registration(config: TrackingConfig) -> tracking.Registration | None:
    """Find where a config wants its model to be registered; None: nowhere."""
    if config.registered_name is None:
        return None
    return tracking.Registration(config.registered_name, config.alias, config.move_alias)


def check_registration(config: TrackingConfig, candidates: Collection[str] = ()) -> None:
    """Look whether a run can be registered, if a config asks for it, before anything is started.

    Args:
        config: of the run, or of a sweep, which registers its best run.
        candidates: ids of runs of which one is to be registered; empty while it is not known.

    Raises:
        TrackingError: the alias leads elsewhere and is not to be moved; or the store has no registry.
    """
    registration = find_registration(config)
    if registration is not None:
        registration.check(candidates)


def register_run(context: RunContext, run_id: str) -> None:
    """Register the model of a finished run, if the config asks for it, and print where; a sweep does so for its best.

    Raises:
        RunError: the registry does not take it; the run stays finished.
    """
    registration = None if context.in_sweep else find_registration(context.config.tracking)
    if registration is None:
        return
    try:
        print_registration(registration, registration.register(run_id))
    except TrackingError as error:
        raise RunError(f"run {run_id} is finished, but {error}") from error


def print_registration(registration: tracking.Registration, version: str) -> None:
    """Print where a model is registered."""
    print_line(f"registered as models:/{registration.name}@{registration.alias}, version {version}")
