"""A classifier on shifted test images: report 000-4B, and what it did not measure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mnist_flow.config.section import OptionSection
from mnist_flow.data.transforms import Direction
from mnist_flow.evaluation.conditions import measure_under, summarise_accuracies
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.figures import plot_shifted_images
from mnist_flow.metrics.robustness import list_shifts

# Of the figure of samples; 3 pixels are what report 000-4B shows.
_SHOWN_IMAGES, _SHOWN_PIXELS = 10, 3

TASKS = ("classification",)
summarise = summarise_accuracies


class Config(OptionSection):
    max_pixels: Annotated[int, Field(ge=1, le=27)]
    directions: Annotated[list[Direction], Field(min_length=1)]
    fills: Annotated[list[Literal["wrap", "zero"]], Field(min_length=1)]


def measure(name: str, config: Config, subject: Subject) -> Outcome:
    """Measure the classifier at every shift that the config describes, and draw some of the shifted images."""
    pixels = min(_SHOWN_PIXELS, config.max_pixels)
    shown = subject.data_set.test.images[:_SHOWN_IMAGES]
    figure = plot_shifted_images(shown, pixels, config.fills, config.directions)
    return measure_under(name, list_shifts(**config.model_dump()), subject, {"samples/shifted.png": figure})
