"""Corruptions of image arrays. Pure: the random generator is passed in, the input is left as it is."""

from collections.abc import Callable

import numpy as np

from mnist_flow.data.arrays import FloatArray

# images, generator → images
Corrupt = Callable[[FloatArray, np.random.Generator], FloatArray]


def add_gaussian(images: FloatArray, stddev: float | FloatArray, rng: np.random.Generator) -> FloatArray:
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
    return images + _per_image(stddev, images) * rng.standard_normal(images.shape, dtype=np.float32)


def add_salt_and_pepper(images: FloatArray, level: float | FloatArray, rng: np.random.Generator) -> FloatArray:
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
    level = _per_image(level, images)
    draw = rng.random(images.shape, dtype=np.float32)
    # One uniform number decides both: below level/2 pepper, from there to level salt, above it the pixel stays.
    return np.where(draw < level / 2, np.float32(0), np.where(draw < level, np.float32(1), images))


def _per_image(strength: float | FloatArray, images: FloatArray) -> FloatArray:
    """A strength, or one an image, as float32 that multiplies the images."""
    strength = np.asarray(strength, dtype=np.float32)
    return strength.reshape(-1, *[1] * (images.ndim - 1)) if strength.ndim else strength
