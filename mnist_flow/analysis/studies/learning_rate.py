"""How the learning rate changes the result: report 000-2B."""

from __future__ import annotations

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.trend import draw_over_param
from mnist_flow.config.analyze import StudyMetric, StudySection
from mnist_flow.config.section import Positive


class Config(StudySection):
    metric: StudyMetric
    # The learning rate that others are compared with, seed by seed; None: the smallest.
    reference: Positive | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Every learning rate, and what it is worth against that of the other reports."""
    return draw_over_param(
        runs,
        "optimizer.learning_rate",
        study.metric,
        study.reference,
        title="Learning rate",
        x_label="learning rate (optimizer.learning_rate)",
        logarithmic=True,
    )
