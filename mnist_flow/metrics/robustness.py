"""Measures a classifier under many conditions: on shifted, rotated and noisy images. Plain values in, a table out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mnist_flow.config.options import find_module
from mnist_flow.config.train import NoiseSection
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.noise import AddNoise
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.data.transforms import DIRECTIONS, Fill, rotate_images, shift_images
from mnist_flow.metrics.classification import evaluate_predictions

Transform = Callable[[FloatArray], FloatArray]
# images → class probabilities (n, classes)
Predict = Callable[[FloatArray], FloatArray]

# Value of the column `direction` for images that stay where they are.
UNMOVED = "none"
# Value of the column `condition` for the test set itself, beside its corrupted copies.
UNCHANGED = "(test set)"


@dataclass(frozen=True)
class Condition:
    """One way to change all test images."""

    # The condition's columns in the table.
    columns: dict[str, Any]
    transform: Transform = field(repr=False)


def list_shifts(max_pixels: int, directions: Sequence[str], fills: Sequence[Fill]) -> list[Condition]:
    """List shifts by 1 to `max_pixels` in each direction, and by none once, with each fill.

    Returns:
        Conditions with the columns direction (`none` for 0 pixels), pixels, dx, dy, fill.

    Raises:
        ValueError: a direction is unknown.
    """
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ValueError(f"direction={direction}: must be one of {' '.join(DIRECTIONS)}")
    moves = [(UNMOVED, 0, 0, 0)]
    moves += [
        (direction, pixels, pixels * DIRECTIONS[direction][0], pixels * DIRECTIONS[direction][1])
        for direction in directions
        for pixels in range(1, max_pixels + 1)
    ]
    return [
        Condition(
            {"direction": direction, "pixels": pixels, "dx": dx, "dy": dy, "fill": fill},
            partial(shift_images, dx=dx, dy=dy, fill=fill),
        )
        for fill in fills
        for direction, pixels, dx, dy in moves
    ]


def list_noise(add: AddNoise, column: str, levels: Sequence[float], draws: int, seed: int) -> list[Condition]:
    """List noise of each level, in each of several draws.

    A draw is the same noise for every model and, scaled, for every level, so that differences between them are not due
    to chance.

    Returns:
        Conditions with the level in `column`, and the column draw.
    """
    return [
        Condition({column: level, "draw": draw}, partial(_add_noise, add, level, (seed, draw)))
        for level in levels
        for draw in range(draws)
    ]


list_gaussian = partial(list_noise, add_gaussian, "stddev")
list_salt_and_pepper = partial(list_noise, add_salt_and_pepper, "level")


def list_noise_conditions(noise: NoiseSection, levels: Sequence[float]) -> tuple[list[Condition], str]:
    """List one draw of a config's kind of noise at each level, salt and pepper where it has none.

    Returns:
        The conditions, and the column that holds their level: level or stddev.
    """
    if noise.level_key is None:
        return list_salt_and_pepper(levels, draws=1, seed=0), "level"
    return list_noise(find_module(noise).add_noise, noise.level_key, levels, 1, 0), noise.level_key


def list_rotations(degrees: Sequence[float]) -> list[Condition]:
    """List rotations by each angle, degrees counter-clockwise.

    Returns:
        Conditions with the column degrees.
    """
    return [Condition({"degrees": angle}, partial(rotate_images, degrees=angle)) for angle in degrees]


def measure_conditions(
    conditions: Sequence[Condition], images: FloatArray, labels: IntArray, predict: Predict
) -> pd.DataFrame:
    """Measure a classifier on the images as each condition changes them, one condition in memory at a time.

    Args:
        conditions: the rows.
        images: float32 (n, height, width, channels) in [0, 1].
        labels: int (n,), the classes.
        predict: the classifier.

    Returns:
        A row a condition: its columns, then n (images), accuracy and its binomial standard_error, macro_recall (the
        recall, mean over the classes there are) and cross_entropy (nats).
    """
    return pd.DataFrame(
        [
            {**condition.columns, **evaluate_predictions(predict(condition.transform(images)), labels).list_measures()}
            for condition in conditions
        ]
    )


def _add_noise(add: AddNoise, level: float, key: tuple[int, int], images: FloatArray) -> FloatArray:
    return add(images, level, np.random.default_rng(key))
