"""Random changes of training images, one a file: the schema of the option and `draw_transforms`, which draws them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mnist_flow.config.options import find_module
from mnist_flow.config.train import AugmentationSection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.runtime.own_code import refuse_result

# number of images, generator → (n, 8) transforms as `keras.ops.image.affine_transform` takes them
DrawTransforms = Callable[[int, np.random.Generator], FloatArray]


def choose_transforms(config: AugmentationSection, size: tuple[int, int]) -> DrawTransforms | None:
    """Choose the function that draws geometric transforms of training images; None where they stay as they are.

    Args:
        config: one of conf/augmentation.
        size: height and width of the images, pixels.
    """
    draw = getattr(find_module(config), "draw_transforms", None)
    if draw is None:
        return None

    def draw_transforms(n: int, rng: np.random.Generator) -> FloatArray:
        transforms = draw(config, n, size, rng)
        if np.shape(transforms) != (n, 8):
            raise refuse_result(draw, transforms, f"{n} transforms, of the shape ({n}, 8)")
        return np.asarray(transforms, np.float32)

    return draw_transforms
