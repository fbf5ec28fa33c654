"""Kinds of noise on images, one a file: the schema of the option and `add_noise`, the function that adds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mnist_flow.config.options import find_module
from mnist_flow.config.train import NoiseSection
from mnist_flow.data.arrays import FloatArray, check_images

# images, generator → images
Corrupt = Callable[[FloatArray, np.random.Generator], FloatArray]
# images, noise level or one an image, generator → images
AddNoise = Callable[[FloatArray, "float | FloatArray", np.random.Generator], FloatArray]


def choose_corruption(config: NoiseSection) -> Corrupt | None:
    """Choose the function that corrupts images (n, …), each at the config's noise level or its own; None without noise.

    Args:
        config: one of conf/noise. With a lowest level each image has its own, uniform between the two.
    """
    if config.level_key is None:
        return None
    add: AddNoise = find_module(config).add_noise
    level, lowest = config.levels

    def corrupt(images: FloatArray, rng: np.random.Generator) -> FloatArray:
        chosen = level if lowest is None else rng.uniform(lowest, level, len(images)).astype(np.float32)
        return check_images(add(images, chosen, rng), images.shape, add)

    return corrupt


def describe_noise(config: NoiseSection) -> str:
    """Describe noise in a few words for a figure: `level 0.4`, `stddev 0 to 0.5`."""
    if config.level_key is None:
        return "no noise"
    return describe_level(config.level_key, *config.levels)


def describe_level(key: str, level: float, lowest: float | None) -> str:
    """Name a noise level, `level 0.4`, or of images that have each their own, from `lowest` on, `level 0 to 1`."""
    start = "" if lowest is None else f"{lowest:g} to "
    return f"{key} {start}{level:g}"


def spread_level(level: float | FloatArray, images: FloatArray) -> FloatArray:
    """Turn a noise level, or one an image, into float32 that multiplies the images (n, …)."""
    level = np.asarray(level, dtype=np.float32)
    return level.reshape(-1, *[1] * (images.ndim - 1)) if level.ndim else level
