"""A classifier on test images with normal noise."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from mnist_flow.config.section import Count, NonNegative, OptionSection, Seed
from mnist_flow.evaluation.conditions import average_draws, measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.robustness import list_gaussian

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    stddevs: Annotated[list[NonNegative], Field(min_length=1)]
    draws: Count
    seed: Seed


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier at each standard deviation and draw. Headlines: the mean over the draws of each."""
    conditions = list_gaussian(config.stddevs, config.draws, config.seed)
    return measure_under(name, conditions, subject, partial(average_draws, column="stddev"))
