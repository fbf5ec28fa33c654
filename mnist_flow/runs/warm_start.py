"""The weights of another run that a training starts from: `training.warm_start`."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_flow import tracking
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.models import build_model
from mnist_flow.runs.context import RunContext

if TYPE_CHECKING:
    from mnist_flow.tracking import LoggedRun


def find_start(run_id: str) -> LoggedRun:
    """Find the finished run that another is to start from, of an imported one also by the id that it had before.

    Raises:
        ConfigError: there is no such run, or it has no logged model.
        TrackingError: the server does not answer.
    """
    try:
        try:
            return tracking.fetch_logged_run(run_id)
        except RunError:
            if (imported := tracking.find_imported(run_id)) is None:
                raise
            return tracking.fetch_logged_run(imported)
    except RunError as error:
        raise _refuse(run_id, str(error).removeprefix(f"run {run_id}: ")) from error


def fetch_first_weights(context: RunContext) -> list[np.ndarray] | None:
    """Fetch the weights that a run starts from, as its network lists them; None: the seed draws them.

    Raises:
        ConfigError: there is no such run, or its model has other weights than the network of this run.
        TrackingError: the server does not answer.
    """
    from mnist_flow.training.devices import reset_keras

    config, run_id = context.config, context.config.training.warm_start
    if run_id is None:
        return None
    start = find_start(run_id)
    try:
        given = tracking.load_model(start).weights
    except RunError as error:
        raise _refuse(run_id, str(error).removeprefix(f"run {run_id}: ")) from error
    weights = [weight.numpy() for weight in given]
    # Built here to be looked at alone, so that no run has begun where it does not fit.
    reset_keras(config.seed, config.training.precision)
    for there, here in zip_longest(given, build_model(config.model, context.info, config.reg).weights):
        if there is None or here is None or there.shape != here.shape:
            shapes = [_describe(one) for one in (there, here)]
            raise _refuse(
                run_id,
                f"its network, {start.params['model.name']}, has other weights: {shapes[0]} there, {shapes[1]} here; "
                "choose the same model, and data of the same shape",
            )
    return weights


def _refuse(run_id: str, reason: str) -> ConfigError:
    return ConfigError(f"training.warm_start={run_id}: {reason}")


def _describe(weight: Any) -> str:
    """Name a weight by its layer, and its shape."""
    return "none" if weight is None else f"{'/'.join(weight.path.split('/')[-2:])} {tuple(weight.shape)}"
