"""Random geometric transforms of images.

Drawing a transform is pure NumPy with a passed generator; applying it is one Keras operation on the whole batch.
"""

import numpy as np

from mnist_flow.data.arrays import FloatArray


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


def draw_affine_transforms(
    n: int, rotation: float, zoom: float, shift: float, rng: np.random.Generator, size: int = 28
) -> FloatArray:
    """Rotation, zoom and shift about the image's centre, each uniform over its range either way.

    Args:
        n: number of transforms.
        rotation: largest angle, degrees, 0 to 180.
        zoom: largest change of scale as a share of the size, 0 to below 1; one scale for both axes.
        shift: largest shift along each axis as a share of the width, 0 to 1.
        rng: source of the numbers.
        size: width and height of the images, pixels.

    Returns:
        float32 (n, 8), as in `draw_shifts`.
    """
    angle = np.deg2rad(rng.uniform(-rotation, rotation, n))
    scale = rng.uniform(1 - zoom, 1 + zoom, n)
    dx, dy = rng.uniform(-shift * size, shift * size, (2, n))
    centre = (size - 1) / 2
    # The inverse map: undo the shift, rotate back, unscale, all about the centre.
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    a2 = centre - cos * (centre + dx) - sin * (centre + dy)
    b2 = centre + sin * (centre + dx) - cos * (centre + dy)
    zeros = np.zeros(n)
    return np.stack([cos, sin, a2, -sin, cos, b2, zeros, zeros], axis=1).astype(np.float32)
