"""Elastic deformations on top of rotation, zoom and shift (Simard, Steinkraus and Platt, 2003)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mnist_flow.config.section import NonNegative, Positive
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.augmentation import affine


class Config(affine.Config):
    alpha: NonNegative
    sigma: Positive


def augment_images(config: Config, images: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Deform each image: see `deform_images` for the images and `draw_affine_transforms` for its transforms."""
    n, height, width, _ = images.shape
    transforms = affine.draw_transforms(config, n, (height, width), rng)
    return deform_images(images, transforms, draw_displacements(n, config.alpha, config.sigma, (height, width), rng))


def draw_displacements(
    n: int, alpha: float, sigma: float, size: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Draw smooth fields of displacements: uniform in -1 to 1 a pixel and axis, smoothed by a Gaussian, times alpha.

    The Gaussian is that of `scipy.ndimage.gaussian_filter`; smoothing all fields is a product of matrices.

    Args:
        n: number of fields.
        alpha: factor on the smoothed field. At sigma=4 a pixel moves by about alpha / 25 (root mean square, each axis).
        sigma: standard deviation of the Gaussian, pixels.
        size: height and width of the images, pixels.
        rng: source of the numbers.

    Returns:
        float32 (n, 2, height, width): pixels down, and pixels to the right.
    """
    down, right = (
        ndimage.gaussian_filter1d(np.eye(length, dtype=np.float32), sigma, axis=0, output=np.float32) for length in size
    )
    drawn = 2 * rng.random((n, 2, *size), dtype=np.float32) - 1
    fields: FloatArray = np.float32(alpha) * (down @ drawn @ right.T)
    return fields


def deform_images(images: FloatArray, transforms: FloatArray, displacements: FloatArray) -> FloatArray:
    """Read each pixel of an image where its transform and its displacement say, with bilinear interpolation.

    Args:
        images: float32 (n, height, width, channels).
        transforms: float32 (n, 8), as in `draw_shifts`: rotation, zoom and shift.
        displacements: float32 (n, 2, height, width), added to the places that the transforms say.

    Returns:
        float32 of the same shape; outside of the image there are zeros.
    """
    y, x = np.indices(images.shape[1:3], dtype=np.float32)
    a0, a1, a2, b0, b1, b2 = transforms[:, :6].T[..., None, None]
    rows = b0 * x + b1 * y + b2 + displacements[:, 0]
    columns = a0 * x + a1 * y + a2 + displacements[:, 1]
    return _interpolate(images, rows, columns)


def _interpolate(images: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Read images at places between their pixels, (n, height, width) each, as `scipy.ndimage.map_coordinates` does.

    SciPy takes one image at a time, and four times as long: half of the training of a small network.
    """
    n, height, width, channels = images.shape
    # With an edge of zeros around each image, a place outside is one on the edge.
    height, width = height + 2, width + 2
    pixels = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, channels)
    last_row, last_column = (np.nextafter(np.float32(length - 1), np.float32(0)) for length in (height, width))
    rows, columns = np.clip(rows + 1, 0, last_row), np.clip(columns + 1, 0, last_column)
    above, left = rows.astype(np.int64), columns.astype(np.int64)
    down, right = (rows - above.astype(np.float32))[..., None], (columns - left.astype(np.float32))[..., None]
    corner = (np.arange(n)[:, None, None] * height + above) * width + left
    upper, upper_right, lower, lower_right = (pixels.take(corner + k, axis=0) for k in (0, 1, width, width + 1))
    upper += right * (upper_right - upper)
    lower += right * (lower_right - lower)
    read: FloatArray = upper + down * (lower - upper)
    return read
