"""Random changes of training images, one a file: the schema of the option and the function that draws them.

`draw_transforms` draws a geometric transform for each image, `augment_images` changes the images themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mnist_flow.config.options import find_module
from mnist_flow.config.train import AugmentationSection
from mnist_flow.data.arrays import FloatArray, check_images
from mnist_flow.runtime.own_code import refuse_result

# number of images, generator → (n, 8) transforms as `keras.ops.image.affine_transform` takes them
DrawTransforms = Callable[[int, np.random.Generator], FloatArray]
# images, float32 (n, height, width, channels), and generator → changed images of the same shape
AugmentImages = Callable[[FloatArray, np.random.Generator], FloatArray]


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


def choose_augmentation(config: AugmentationSection) -> AugmentImages | None:
    """Choose the function that changes training images themselves; None where a transform or nothing does.

    Args:
        config: one of conf/augmentation.
    """
    augment = getattr(find_module(config), "augment_images", None)
    if augment is None:
        return None

    def augment_images(images: FloatArray, rng: np.random.Generator) -> FloatArray:
        return check_images(augment(config, images, rng), images.shape, augment)

    return augment_images
