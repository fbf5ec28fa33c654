"""Between the sizes of an image: blocks of 2×2 pixels as channels, and back."""

from __future__ import annotations

from collections.abc import Sequence

from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.runtime.lazy import keras


def halve_image(filters: Sequence[int]) -> int:
    """Pixels along a side after one halving for each of `filters`.

    Raises:
        ValueError: more halvings than the image allows.
    """
    size = IMAGE_SHAPE[0] // 2 ** len(filters)
    if size * 2 ** len(filters) != IMAGE_SHAPE[0]:
        raise ValueError(f"filters={list(filters)}: {IMAGE_SHAPE[0]} pixels can't be halved {len(filters)} times")
    return size


# What ends the names of the layers that move pixels about and compute nothing.
_MOVES = ("_split", "_interleave", "_double", "_halve")


def moves_pixels(layer: keras.layers.Layer) -> bool:
    """Whether a layer is one of those that `build_pixel_shuffle` and `build_pixel_unshuffle` build."""
    return layer.name.endswith(_MOVES) and isinstance(layer, keras.layers.Reshape | keras.layers.Permute)


def build_pixel_shuffle(size: int, filters: int, name: str) -> list[keras.layers.Layer]:
    """What follows a convolution of four times the filters to make it a sub-pixel one (Shi et al., 2016).

    On a CPU the two train in two thirds of the time of a transposed convolution.

    Returns:
        Layers (size, size, 4·filters) → (2·size, 2·size, filters): each four channels become a block of 2×2 pixels.
    """
    return [
        keras.layers.Reshape((size, size, 2, 2, filters), name=f"{name}_split"),
        keras.layers.Permute((1, 3, 2, 4, 5), name=f"{name}_interleave"),
        keras.layers.Reshape((2 * size, 2 * size, filters), name=f"{name}_double"),
    ]


def build_pixel_unshuffle(size: int, name: str) -> list[keras.layers.Layer]:
    """The inverse of `build_pixel_shuffle` for one channel: (size, size, 1) → (size / 2, size / 2, 4)."""
    half = size // 2
    return [
        keras.layers.Reshape((half, 2, half, 2, 1), name=f"{name}_split"),
        keras.layers.Permute((1, 3, 2, 4, 5), name=f"{name}_interleave"),
        keras.layers.Reshape((half, half, 4), name=f"{name}_halve"),
    ]
