"""Down by a factor every few epochs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count
from mnist_flow.config.train import ScheduleSection


class Config(ScheduleSection):
    step_epochs: Count
    factor: Annotated[float, Field(gt=0, le=1)]
