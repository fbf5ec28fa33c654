"""A classifier on shifted, rotated or noisy test images: report 000-4B, and what it did not measure."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from mnist_flow.config.schema import GaussianMeasure, RotationMeasure, SaltAndPepperMeasure, ShiftMeasure
from mnist_flow.data.arrays import FloatArray
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.figures.plots import plot_shifted_digits
from mnist_flow.metrics.robustness import (
    Condition,
    compute_headlines,
    list_gaussian,
    list_rotations,
    list_salt_and_pepper,
    list_shifts,
    measure_conditions,
)

# Of a figure of samples; 3 pixels are what report 000-4B shows.
_SHOWN_IMAGES, _SHOWN_PIXELS = 10, 3

Conditions = ShiftMeasure | GaussianMeasure | SaltAndPepperMeasure | RotationMeasure


def measure(name: str, settings: Conditions, subject: Subject) -> Outcome:
    """Measure the classifier under every condition of `settings`."""
    test = subject.data_set.test
    table = measure_conditions(list_conditions(settings), test.images, test.labels, subject.measured.predict)
    return Outcome(
        metrics=compute_headlines(name, table),
        tables={f"tables/{name}.json": table},
        figures=_draw_samples(settings, test.images),
    )


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The columns of the command's table."""
    return {f"{which} accuracy": metrics[f"{name}_{which}_accuracy"] for which in ("mean", "worst")}


def list_conditions(settings: Conditions) -> list[Condition]:
    """The conditions that a measure's config describes."""
    options = settings.model_dump()
    match settings:
        case ShiftMeasure():
            return list_shifts(**options)
        case GaussianMeasure():
            return list_gaussian(**options)
        case SaltAndPepperMeasure():
            return list_salt_and_pepper(**options)
        case RotationMeasure():
            return list_rotations(**options)


def _draw_samples(settings: Conditions, images: FloatArray) -> dict[str, Figure]:
    """Some of the images that were measured, by the path of their figure."""
    if not isinstance(settings, ShiftMeasure):
        return {}
    pixels = min(_SHOWN_PIXELS, settings.max_pixels)
    return {
        "samples/shifted.png": plot_shifted_digits(images[:_SHOWN_IMAGES], pixels, settings.fills, settings.directions)
    }
