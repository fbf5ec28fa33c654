"""Down by a factor every few epochs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count
from mnist_flow.config.train import ScheduleSection
from mnist_flow.runtime.lazy import keras


class Config(ScheduleSection):
    step_epochs: Count
    factor: Annotated[float, Field(gt=0, le=1)]


def build_schedule(
    config: Config, learning_rate: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build steps from `learning_rate` down by `factor` every `step_epochs` epochs."""
    return keras.optimizers.schedules.ExponentialDecay(
        learning_rate, decay_steps=config.step_epochs * steps_per_epoch, decay_rate=config.factor, staircase=True
    )
