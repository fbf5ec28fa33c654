"""Geometric transforms of images that are the same for all of them. Pure: the input is left as it is.

`augmentation` draws a transform for each image; these move all images alike, to measure what a classifier makes of it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from mnist_flow.data.arrays import FloatArray

Fill = Literal["wrap", "zero"]
Direction = Literal["right", "left", "up", "down", "up_right", "up_left", "down_right", "down_left"]

# (dx, dy) of one step: x grows to the right and y downwards, as the columns and rows of an image do.
DIRECTIONS = {
    "right": (1, 0),
    "left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up_right": (1, -1),
    "up_left": (-1, -1),
    "down_right": (1, 1),
    "down_left": (-1, 1),
}


def shift_images(images: FloatArray, dx: int, dy: int, fill: Fill) -> FloatArray:
    """Move each image by whole pixels along its own axes.

    Report 000-4B shifts by np.roll, which wraps around: `wrap`.

    Args:
        images: float32 (n, height, width, channels); axis 1 is vertical.
        dx: pixels to the right; negative: to the left.
        dy: pixels down; negative: up.
        fill: `wrap`: what leaves at one side comes in at the other; `zero`: zeros come in.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: the fill is neither.
    """
    if fill not in ("wrap", "zero"):
        raise ValueError(f"fill={fill}: must be wrap or zero")
    shifted = np.roll(images, (dy, dx), axis=(1, 2))
    if fill == "zero":
        shifted[:, _came_around(dy)] = 0
        shifted[:, :, _came_around(dx)] = 0
    return shifted


def rotate_images(images: FloatArray, degrees: float) -> FloatArray:
    """Turn each image about its centre, with bilinear interpolation and zeros moving in.

    Args:
        images: float32 (n, height, width, channels).
        degrees: counter-clockwise, as one sees the image.

    Returns:
        float32 of the same shape; 0 degrees changes nothing.
    """
    return np.asarray(ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1, mode="constant"))


def _came_around(offset: int) -> slice:
    """The part of an axis that holds what left at the other end when the axis was rolled."""
    return slice(None, offset) if offset >= 0 else slice(offset, None)
