"""The state of a training after an epoch: all that is needed to go on bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_flow.errors import RunError
from mnist_flow.runtime.lazy import keras
from mnist_flow.training.monitors import Monitors

# Name of the array that holds what is no array, as JSON.
_RECORD = "record"


@dataclass(frozen=True)
class TrainingState:
    """A training after a finished epoch."""

    # Finished epochs.
    epoch: int
    # Weights (model_0, …), variables of the optimizer (optimizer_0, …), and the best epoch's weights (best_0, …).
    arrays: dict[str, np.ndarray]
    # One mapping an epoch, as TrainingResult has it.
    history: list[dict[str, float]]
    # Seconds of training so far, over all its processes.
    fit_seconds: float
    # Early stopping has said that this epoch is the last.
    stopped: bool
    # What plateau and early stopping remember, by their names.
    counters: dict[str, dict[str, Any]]


# Before the first epoch.
START = TrainingState(epoch=0, arrays={}, history=[], fit_seconds=0.0, stopped=False, counters={})


def capture_state(
    learner: keras.Model, monitors: Monitors, history: Sequence[dict[str, float]], fit_seconds: float, stopped: bool
) -> TrainingState:
    """Copy all that a training needs to go on from here.

    Args:
        learner: the compiled network; with averaged weights, it has the average now.
        monitors: that follow its validation.
        history: of the epochs so far.
        fit_seconds: of training so far.
        stopped: early stopping has said so.
    """
    best = monitors.best_epoch.weights if monitors.best_epoch is not None else []
    arrays = {
        **{f"model_{number}": value.numpy() for number, value in enumerate(learner.weights)},
        **{f"optimizer_{number}": value.numpy() for number, value in enumerate(learner.optimizer.variables)},
        **{f"best_{number}": value for number, value in enumerate(best)},
    }
    return TrainingState(len(history), arrays, list(history), fit_seconds, stopped, monitors.state_dict())


def restore_state(learner: keras.Model, monitors: Monitors, state: TrainingState) -> None:
    """Give a network, its optimizer and the monitors of its validation what they had in a state.

    Raises:
        RunError: the state is that of another network or optimizer.
    """
    for kind, variables in (("model", learner.weights), ("optimizer", learner.optimizer.variables)):
        saved = _list_arrays(kind, state.arrays)
        if [value.shape for value in saved] != [tuple(variable.shape) for variable in variables]:
            raise RunError(f"the checkpoint of epoch {state.epoch} belongs to another {kind}")
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
    monitors.load_state_dict(state.counters, _list_arrays("best", state.arrays))


def pack_state(state: TrainingState) -> dict[str, np.ndarray]:
    """Turn a state into arrays, as an .npz file holds them; floats stay the same bit for bit."""
    record = {name: value for name, value in vars(state).items() if name != "arrays"}
    return {_RECORD: np.array(json.dumps(record)), **state.arrays}


def unpack_state(arrays: Mapping[str, np.ndarray]) -> TrainingState:
    """Turn the arrays of `pack_state` into the state.

    Raises:
        KeyError, TypeError, ValueError: they are no state.
    """
    record = json.loads(str(arrays[_RECORD]))
    return TrainingState(arrays={name: value for name, value in arrays.items() if name != _RECORD}, **record)


def _list_arrays(kind: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays of one kind (model, optimizer or best) in their order."""
    return [arrays[f"{kind}_{number}"] for number in range(sum(name.startswith(f"{kind}_") for name in arrays))]
