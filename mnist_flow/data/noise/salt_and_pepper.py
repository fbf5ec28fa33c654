"""Salt-and-pepper noise: pixels that become black or white (reports 002-4 and 003-4)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mnist_flow.config.section import Fraction
from mnist_flow.config.train import NoiseSection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.noise import spread_level


class Config(NoiseSection):
    level_key: ClassVar[str] = "level"

    level: Fraction
    min_level: Fraction | None
    redraw: bool


def add_noise(images: FloatArray, level: float | FloatArray, rng: np.random.Generator) -> FloatArray:
    """Replace each pixel independently with probability `level`, by 0 or 1 with equal chance.

    Level 0 changes nothing and level 1 keeps nothing. This is the corruption that reports 002-4 and 003-4 describe;
    the code printed in report 003 takes the probability of *keeping* a pixel instead.

    Args:
        images: float32 (n, …), pixel range [0, 1].
        level: probability that a pixel is replaced, 0 to 1; one number, or one an image (n,).
        rng: source of the noise.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: level is outside 0 to 1.
    """
    if not np.all((np.asarray(level) >= 0) & (np.asarray(level) <= 1)):
        raise ValueError(f"level={level}: must be from 0 to 1")
    level = spread_level(level, images)
    draw = rng.random(images.shape, dtype=np.float32)
    # One uniform number decides both: below level/2 pepper, from there to level salt, above it the pixel stays.
    return np.where(draw < level / 2, np.float32(0), np.where(draw < level, np.float32(1), images))
