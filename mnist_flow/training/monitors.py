"""What follows the validation metrics from epoch to epoch: plateau, early stopping and the best epoch.

Each is a small object with a state of its own, which `state_dict` gives as plain numbers and `load_state_dict` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from mnist_flow.runtime.lazy import keras


@dataclass
class _Monitor:
    # Names of the fields that make up the state.
    _STATE: ClassVar[tuple[str, ...]] = ("best", "wait")

    # None: no epoch so far.
    best: float | None = field(init=False, default=None)
    wait: int = field(init=False, default=0)

    def take(self, monitor: str, value: float, by_more_than: float = 0.0) -> bool:
        """Take an epoch's value; returns whether it is the best so far: highest for accuracies, lowest for losses."""
        if self.best is None:
            is_best = True
        elif monitor.endswith("accuracy"):
            is_best = value > self.best + by_more_than
        else:
            is_best = value < self.best - by_more_than
        self.best, self.wait = (value, 0) if is_best else (self.best, self.wait + 1)
        return is_best

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""
        return {name: getattr(self, name) for name in self._STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what another one did."""
        for name in self._STATE:
            setattr(self, name, state[name])


@dataclass
class Plateau(_Monitor):
    """Multiplies the learning rate by `factor` after `patience` epochs without improvement.

    An epoch improves when it is better by more than `min_delta`, as in Keras's ReduceLROnPlateau.
    """

    factor: float
    patience: int
    min_learning_rate: float = 0.0
    min_delta: float = 1e-4

    def update(self, monitor: str, value: float, learning_rate: float) -> float:
        """Take an epoch's value of the monitored metric and its learning rate; returns the rate of the next epoch."""
        if self.take(monitor, value, self.min_delta) or self.wait < self.patience:
            return learning_rate
        if learning_rate <= np.float32(self.min_learning_rate):
            return learning_rate
        self.wait = 0
        return max(learning_rate * self.factor, self.min_learning_rate)


@dataclass
class EarlyStopping(_Monitor):
    """Says stop after `patience` epochs without improvement."""

    patience: int

    def update(self, monitor: str, value: float) -> bool:
        """Take an epoch's value of the monitored metric; returns whether this epoch is the last."""
        return not self.take(monitor, value) and self.wait >= self.patience


@dataclass
class BestEpoch(_Monitor):
    """Keeps the weights of the best epoch so far; of equal epochs, the first."""

    _STATE = ("best", "wait", "epoch")

    # From 1; 0: none so far.
    epoch: int = field(init=False, default=0)
    weights: list[np.ndarray] = field(init=False, default_factory=list, repr=False)

    def update(self, monitor: str, value: float, epoch: int, learner: keras.Model) -> None:
        """Take an epoch's value of the monitored metric, its number from 1, and the network."""
        if self.take(monitor, value):
            self.epoch, self.weights = epoch, learner.get_weights()


@dataclass
class Monitors:
    """All that follows the validation of one training; what is None does not take part."""

    monitor: str
    plateau: Plateau | None = None
    early_stopping: EarlyStopping | None = None
    best_epoch: BestEpoch | None = None

    def update(self, epoch: int, metrics: Mapping[str, float], learner: keras.Model) -> bool:
        """Take an epoch, from 1: lower the learning rate, keep the weights; returns whether this epoch is the last."""
        watched = self.monitor, metrics[self.monitor]
        if self.plateau is not None:
            optimizer = learner.optimizer
            optimizer.learning_rate = self.plateau.update(*watched, float(optimizer.learning_rate))
        if self.best_epoch is not None:
            self.best_epoch.update(*watched, epoch, learner)
        return self.early_stopping is not None and self.early_stopping.update(*watched)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """What each of them remembers, but for the weights."""
        return {name: one.state_dict() for name, one in self._list().items()}

    def load_state_dict(self, state: Mapping[str, dict[str, Any]], best_weights: list[np.ndarray]) -> None:
        """Remember what others did."""
        for name, one in self._list().items():
            one.load_state_dict(state[name])
        if self.best_epoch is not None:
            self.best_epoch.weights = best_weights

    def _list(self) -> dict[str, _Monitor]:
        every = {"plateau": self.plateau, "early_stopping": self.early_stopping, "best_epoch": self.best_epoch}
        return {name: one for name, one in every.items() if one is not None}
