"""What the measures of a classifier under changed test images have in common (report 000-4B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.metrics.robustness import Condition, compute_headlines, measure_conditions


def measure_under(
    name: str, conditions: Sequence[Condition], subject: Subject, figures: Mapping[str, Figure] | None = None
) -> Outcome:
    """Measure the classifier under every condition.

    Args:
        name: of the measure.
        conditions: the rows of its table.
        subject: the classifier and its test images.
        figures: samples of the images that were measured, by path.
    """
    test = subject.data_set.test
    table = measure_conditions(conditions, test.images, test.labels, subject.measured.predict)
    return Outcome(compute_headlines(name, table), {f"tables/{name}.json": table}, dict(figures or {}))


def summarise_accuracies(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose the columns of the command's table: the mean and the worst accuracy."""
    return {f"{which} accuracy": metrics[f"{name}_{which}_accuracy"] for which in ("mean", "worst")}
