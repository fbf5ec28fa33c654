"""How the weight of the L2 penalty changes the result: reports 000-3B, 001-2.4b, 002-2D, 003-2D', 004-2.4."""

from __future__ import annotations

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.trend import draw_over_param
from mnist_flow.config.analyze import StudyMetric, StudySection
from mnist_flow.config.section import NonNegative


class Config(StudySection):
    metric: StudyMetric
    # The λ that others are compared with, seed by seed; None: the smallest.
    reference: NonNegative | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Every λ, and what it is worth against no penalty or the smallest."""
    return draw_over_param(
        runs,
        "reg",
        study.metric,
        study.reference,
        title="L2 regularization",
        x_label="λ of the L2 penalty λ·Σw² (reg)",
        logarithmic=True,
    )
