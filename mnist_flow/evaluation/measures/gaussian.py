"""A classifier on test images with normal noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count, NonNegative, OptionSection, Seed
from mnist_flow.evaluation.conditions import measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.metrics.robustness import list_gaussian

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    stddevs: Annotated[list[NonNegative], Field(min_length=1)]
    draws: Count
    seed: Seed


def measure(name: str, config: Config, subject: Subject) -> Outcome:
    """Measure the classifier under every condition that the config describes."""
    return measure_under(name, list_gaussian(**config.model_dump()), subject)
