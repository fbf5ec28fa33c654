"""What the measures of a classifier under changed test images have in common (report 000-4B)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.robustness import Condition, measure_conditions


def measure_under(
    name: str,
    conditions: Sequence[Condition],
    subject: Subject,
    compute_headlines: Callable[[pd.DataFrame], Mapping[str, float]],
) -> EvaluationResult:
    """Measure the classifier under every condition, each a row of the measure's table.

    Headlines are the few numbers of the table by which runs are compared, beside mean and worst accuracy.

    Returns:
        The table of `measure_conditions`, and as metrics `{name}_mean_accuracy` and `{name}_worst_accuracy` over all
        conditions and `{name}_{headline}` for each headline.
    """
    test = subject.data_set.test
    table = measure_conditions(conditions, test.images, test.labels, subject.measured.predict)
    accuracy = table["accuracy"]
    headlines = {"mean_accuracy": accuracy.mean(), "worst_accuracy": accuracy.min(), **compute_headlines(table)}
    metrics = {f"{name}_{headline}": float(value) for headline, value in headlines.items()}
    return EvaluationResult(metrics, {f"tables/{name}.json": table})


def average_draws(table: pd.DataFrame, column: str) -> dict[str, float]:
    """Compute the mean accuracy over the draws of each noise level or stddev, `accuracy_at_level_0.5`."""
    return {
        f"accuracy_at_{column}_{level:g}": float(accuracies.mean())
        for level, accuracies in table.groupby(column)["accuracy"]
    }


def summarise_accuracies(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose the columns of the command's table: the mean and the worst accuracy."""
    return {f"{which} accuracy": metrics[f"{name}_{which}_accuracy"] for which in ("mean", "worst")}
