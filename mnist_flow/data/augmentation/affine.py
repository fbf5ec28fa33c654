"""Rotation, zoom and shift together (report 004-3.1-2)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mnist_flow.config.section import Fraction, ProperFraction
from mnist_flow.config.train import AugmentationSection
from mnist_flow.data.arrays import FloatArray


class Config(AugmentationSection):
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: ProperFraction
    shift: Fraction


def draw_transforms(config: Config, n: int, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Draw a transform for each of n images of this height and width: see `draw_affine_transforms`."""
    return draw_affine_transforms(n, config.rotation, config.zoom, config.shift, size, rng)


def draw_affine_transforms(
    n: int, rotation: float, zoom: float, shift: float, size: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Draw rotations, zooms and shifts about the image's centre, each uniform over its range either way.

    Args:
        n: number of transforms.
        rotation: largest angle, degrees, 0 to 180.
        zoom: largest change of scale as a fraction of the size, 0 to below 1; one scale for both axes.
        shift: largest shift along each axis as a fraction of the image's width or height, 0 to 1.
        size: height and width of the images, pixels.
        rng: source of the numbers.

    Returns:
        float32 (n, 8), as in `draw_shifts`.
    """
    angle = np.deg2rad(rng.uniform(-rotation, rotation, n))
    scale = rng.uniform(1 - zoom, 1 + zoom, n)
    height, width = size
    reach = np.array([[shift * width], [shift * height]])
    dx, dy = rng.uniform(-reach, reach, (2, n))
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    # The inverse map: undo the shift, rotate back, unscale, all about the centre.
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    a2 = centre_x - cos * (centre_x + dx) - sin * (centre_y + dy)
    b2 = centre_y + sin * (centre_x + dx) - cos * (centre_y + dy)
    zeros = np.zeros(n)
    return np.stack([cos, sin, a2, -sin, cos, b2, zeros, zeros], axis=1).astype(np.float32)
