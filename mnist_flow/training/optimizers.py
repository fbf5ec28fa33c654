"""Optimizers of Keras, and the learning rate of each gradient step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mnist_flow.config.options import find_module
from mnist_flow.config.train import ScheduleSection
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.lazy import keras
from mnist_flow.runtime.own_code import refuse_result
from mnist_flow.training.monitors import Plateau


@dataclass(frozen=True)
class Optimization:
    """How the weights are changed."""

    optimizer: keras.optimizers.Optimizer
    # The optimizer's learning rate where it differs from step to step; None: it has one number.
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None
    # Lowers that number when the validation stalls.
    plateau: Plateau | None = None

    def read_learning_rate(self, steps: int) -> float:
        """The learning rate of the last of so many steps; the optimizer itself already tells the next one's."""
        return float(self.optimizer.learning_rate if self.schedule is None else self.schedule(steps - 1))


def count_steps(n_images: int, batch_size: int) -> int:
    """Gradient steps an epoch; the last batch may be smaller."""
    return math.ceil(n_images / batch_size)


def build_schedule(
    config: ScheduleSection, learning_rate: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Build what gives each gradient step its learning rate; None: the optimizer's own rate holds.

    Args:
        config: one of conf/schedule.
        learning_rate: the first, or highest, rate.
        steps_per_epoch: gradient steps an epoch.
        epochs: of the whole training.
    """
    build = getattr(find_module(config), "build_schedule", None)
    if build is None:
        return None
    schedule = build(config, learning_rate, steps_per_epoch, epochs)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        raise refuse_result(build, schedule, "a keras.optimizers.schedules.LearningRateSchedule")
    return schedule


def build_plateau(config: ScheduleSection) -> Plateau | None:
    """Build what lowers the learning rate when the monitored metric stalls; None where the schedule does not."""
    build = getattr(find_module(config), "build_plateau", None)
    plateau = None if build is None else build(config)
    if build is not None and not isinstance(plateau, Plateau):
        raise refuse_result(build, plateau, "a mnist_flow.training.monitors.Plateau")
    return plateau


def build_optimizer(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    ema_momentum: float | None = None,
    **options: Any,
) -> keras.optimizers.Optimizer:
    """Build an optimizer of Keras.

    Args:
        name: as `keras.optimizers.get` takes it: sgd, adam, …
        learning_rate: of each gradient step.
        ema_momentum: of an exponential moving average of the weights, which is validated and kept; None: no average.
        options: of the optimizer itself, such as momentum or beta_1.

    Raises:
        ConfigError: Keras has no such optimizer, or it has no such option.
    """
    averaging = {} if ema_momentum is None else {"use_ema": True, "ema_momentum": ema_momentum}
    try:
        optimizer = type(keras.optimizers.get(name))
    except ValueError as error:
        raise ConfigError(f"optimizer.name={name}: Keras has no such optimizer; say sgd, adam or adamw") from error
    try:
        return optimizer(learning_rate=learning_rate, **averaging, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer={name}: {error}; optimizer.KEY=null leaves a key out") from error
