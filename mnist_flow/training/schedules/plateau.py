"""Down by a factor when the validation stalls."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count, NonNegative
from mnist_flow.config.train import ScheduleSection
from mnist_flow.training.monitors import Plateau


class Config(ScheduleSection):
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Count
    min_learning_rate: NonNegative


def build_plateau(config: Config) -> Plateau:
    """Build what lowers the learning rate when the monitored metric stalls."""
    return Plateau(config.factor, config.patience, config.min_learning_rate)
