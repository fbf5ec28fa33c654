"""A classifier on rotated test images."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from pydantic import Field

from mnist_flow.config.section import OptionSection
from mnist_flow.evaluation.conditions import measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.robustness import list_rotations

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    degrees: Annotated[list[Annotated[float, Field(ge=-180, le=180)]], Field(min_length=1)]


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier at each angle."""
    return measure_under(name, list_rotations(config.degrees), subject, compute_headlines)


def compute_headlines(table: pd.DataFrame) -> dict[str, float]:
    """Compute the worse accuracy of both senses of each rotation, `worst_accuracy_at_30_degrees`."""
    worst = table.groupby(table["degrees"].abs())["accuracy"].min()
    return {f"worst_accuracy_at_{degrees:g}_degrees": float(accuracy) for degrees, accuracy in worst.items()}
