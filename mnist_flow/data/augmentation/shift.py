"""Shifts by whole pixels."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mnist_flow.config.train import AugmentationSection
from mnist_flow.data.arrays import FloatArray


class Config(AugmentationSection):
    max_pixels: Annotated[int, Field(ge=0)]

    def check_input(self, input_shape: tuple[int, int, int]) -> None:
        most = min(input_shape[:2]) - 1
        if self.max_pixels > most:
            raise ValueError(f"augmentation.max_pixels={self.max_pixels}: must be at most {most}, or nothing is left")


def draw_transforms(config: Config, n: int, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Draw a transform for each of n images: see `draw_shifts`."""
    return draw_shifts(n, config.max_pixels, rng)


def draw_shifts(n: int, max_pixels: int, rng: np.random.Generator) -> FloatArray:
    """Shifts by whole pixels, uniform over -max_pixels … max_pixels along each axis.

    Returns:
        float32 (n, 8): rows a0 a1 a2 b0 b1 b2 c0 c1 as `keras.ops.image.affine_transform` takes them. An output pixel
        (x, y) is read at (a0 x + a1 y + a2, b0 x + b1 y + b2) of the input.
    """
    dx, dy = rng.integers(-max_pixels, max_pixels, size=(2, n), endpoint=True)
    transforms = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], dtype=np.float32), (n, 1))
    transforms[:, 2] = -dx
    transforms[:, 5] = -dy
    return transforms
