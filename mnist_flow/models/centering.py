"""Networks of layers one after another, which can be given every image with its centre of mass in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mnist_flow.runtime.lazy import keras

Centering = Literal["mass"]


def build_network(
    input_shape: tuple[int, int, int], layers: Sequence[keras.Layer], name: str, centering: Centering | None = None
) -> keras.Model:
    """Build a network of layers one after another.

    Args:
        input_shape: height, width and channels of an image.
        layers: the first one takes images.
        centering: mass: the layers see each image moved by `move_to_middle`; None: as it is.

    Returns:
        (batch, height, width, channels) float32 → what the last layer returns. All parts are Keras's own, so that it is
        loaded and served without this package.
    """
    if centering is None:
        return keras.Sequential([keras.Input(input_shape, name="images"), *layers], name=name)
    images = keras.Input(input_shape, name="images")
    outputs = move_to_middle(images)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(images, outputs, name=name)


def move_to_middle(images: keras.KerasTensor) -> keras.KerasTensor:
    """Move images by whole pixels so that the centre of mass of each is within half a pixel of the middle.

    The middle is pixel height / 2, width / 2, counted from 0, where MNIST's authors put it (LeCun et al., 1998, section
    III.A): of MNIST's images all but two stay as they are. Pixels that leave an image are lost, and zeros move in.

    Args:
        images: (batch, height, width, channels) float32, 0 is the background.
    """
    ops = keras.ops
    _, height, width, _ = images.shape
    mass = ops.sum(images, axis=-1)
    # An image of zeros has no centre, and stays an image of zeros.
    whole = ops.maximum(ops.sum(mass, axis=(1, 2)), 1e-6)
    down = _round_offset(ops.sum(mass, axis=2), height, whole)
    right = _round_offset(ops.sum(mass, axis=1), width, whole)
    one, zero = ops.ones_like(whole), ops.zeros_like(whole)
    # The place in the image that each pixel is taken from: x + right, y + down.
    places = ops.stack([one, zero, right, zero, one, down, zero, zero], axis=1)
    return ops.image.affine_transform(images, places, interpolation="nearest", fill_mode="constant", fill_value=0.0)


def _round_offset(profile: keras.KerasTensor, size: int, whole: keras.KerasTensor) -> keras.KerasTensor:
    """Pixels from the middle to the centre of mass, of the masses along an axis (batch, size)."""
    centre = keras.ops.sum(profile * np.arange(size, dtype=np.float32), axis=1) / whole
    return keras.ops.round(centre - size / 2)
