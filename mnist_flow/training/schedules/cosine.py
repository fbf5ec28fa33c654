"""Down along half a cosine, perhaps after a linear rise."""

from __future__ import annotations

from mnist_flow.config.section import Fraction, NonNegative
from mnist_flow.config.train import ScheduleSection
from mnist_flow.runtime.lazy import keras


class Config(ScheduleSection):
    warmup_epochs: NonNegative
    final_fraction: Fraction

    def check_epochs(self, epochs: int) -> None:
        if self.warmup_epochs >= epochs:
            raise ValueError(f"schedule.warmup_epochs={self.warmup_epochs}: must be less than epochs={epochs}")


def build_schedule(
    config: Config, learning_rate: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build half a cosine down from `learning_rate`, after a linear rise from 0 over `warmup_epochs`."""
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, epochs * steps_per_epoch - warmup_steps),
        alpha=config.final_fraction,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
