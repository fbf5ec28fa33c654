"""A classifier on test images with salt-and-pepper noise."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count, Fraction, OptionSection, Seed
from mnist_flow.evaluation.conditions import average_draws, measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.robustness import list_salt_and_pepper

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    levels: Annotated[list[Fraction], Field(min_length=1)]
    draws: Count
    seed: Seed


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier at each noise level and draw. Headlines: the mean over the draws of each level."""
    conditions = list_salt_and_pepper(config.levels, config.draws, config.seed)
    return measure_under(name, conditions, subject, partial(average_draws, column="level"))
