"""A classifier on rotated test images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import OptionSection
from mnist_flow.evaluation.conditions import measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.metrics.robustness import list_rotations

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    degrees: Annotated[list[Annotated[float, Field(ge=-180, le=180)]], Field(min_length=1)]


def measure(name: str, config: Config, subject: Subject) -> Outcome:
    """Measure the classifier under every condition that the config describes."""
    return measure_under(name, list_rotations(**config.model_dump()), subject)
