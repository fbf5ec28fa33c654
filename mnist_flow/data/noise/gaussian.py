"""Normal noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mnist_flow.config.section import NonNegative
from mnist_flow.config.train import NoiseSection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.noise import spread_level


class Config(NoiseSection):
    level_key: ClassVar[str] = "stddev"

    stddev: NonNegative
    min_stddev: NonNegative | None
    redraw: bool


def add_noise(images: FloatArray, stddev: float | FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add independent normal noise to every pixel, not clipped, as Keras's GaussianNoise layer does in training.

    Args:
        images: float32 (n, …), pixel range [0, 1].
        stddev: standard deviation in units of the pixel range, at least 0; one number, or one an image (n,).
        rng: source of the noise.

    Returns:
        float32 of the same shape; values may leave [0, 1].

    Raises:
        ValueError: stddev is negative.
    """
    if not np.all(np.asarray(stddev) >= 0):
        raise ValueError(f"stddev={stddev}: must be at least 0")
    return images + spread_level(stddev, images) * rng.standard_normal(images.shape, dtype=np.float32)
