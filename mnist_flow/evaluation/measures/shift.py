"""A classifier on shifted test images: report 000-4B, and what it did not measure."""

from __future__ import annotations

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from mnist_flow.config.section import Count, OptionSection
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.data.transforms import Direction
from mnist_flow.errors import ConfigError
from mnist_flow.evaluation.conditions import measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.figures import plot_shifted_images
from mnist_flow.metrics.robustness import list_shifts

# Of the figure of samples; 3 pixels are what report 000-4B shows.
_SHOWN_IMAGES, _SHOWN_PIXELS = 10, 3

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    max_pixels: Count
    directions: Annotated[list[Direction], Field(min_length=1)]
    fills: Annotated[list[Literal["wrap", "zero"]], Field(min_length=1)]


def check(name: str, config: Config, info: DatasetInfo) -> None:
    """Refuse shifts by a whole image or more.

    Raises:
        ConfigError: the largest shift leaves nothing of the images.
    """
    height, width, _ = info.input_shape
    if config.max_pixels >= min(height, width):
        raise ConfigError(
            f"measure.{name}.max_pixels={config.max_pixels}: must be at most {min(height, width) - 1}, since images of "
            f"{info.name} have {height}×{width} pixels"
        )


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier at every shift that the config describes, and draw some of the shifted images."""
    conditions = list_shifts(config.max_pixels, config.directions, config.fills)
    result = measure_under(name, conditions, subject, compute_headlines)
    pixels, shown = min(_SHOWN_PIXELS, config.max_pixels), subject.data_set.test.images[:_SHOWN_IMAGES]
    result.figures["samples/shifted.png"] = plot_shifted_images(shown, pixels, config.fills, config.directions)
    return result


def compute_headlines(table: pd.DataFrame) -> dict[str, float]:
    """Compute the worst accuracy at each number of pixels, `worst_accuracy_at_3_pixels`.

    Diagonal shifts have headlines of their own, `worst_diagonal_accuracy_at_3_pixels`, since they move along both axes.
    """
    diagonal = (table["dx"] != 0) & (table["dy"] != 0)
    return {
        f"{prefix}_accuracy_at_{pixels}_pixels": float(accuracy)
        for prefix, rows in (("worst", table[~diagonal]), ("worst_diagonal", table[diagonal]))
        for pixels, accuracy in rows.groupby("pixels")["accuracy"].min().items()
    }
