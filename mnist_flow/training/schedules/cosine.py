"""Down along half a cosine, perhaps after a linear rise."""

from __future__ import annotations

from mnist_flow.config.section import Fraction, NonNegative
from mnist_flow.config.train import ScheduleSection


class Config(ScheduleSection):
    warmup_epochs: NonNegative
    final_fraction: Fraction

    def check_epochs(self, epochs: int) -> None:
        if self.warmup_epochs >= epochs:
            raise ValueError(f"schedule.warmup_epochs={self.warmup_epochs}: must be less than epochs={epochs}")
