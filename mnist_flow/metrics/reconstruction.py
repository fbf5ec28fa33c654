"""How near a denoiser's images come to the clean ones, beside a median filter. Pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from mnist_flow.data.arrays import FloatArray
from mnist_flow.metrics.classification import EPSILON
from mnist_flow.metrics.robustness import Condition

# noisy images → images
Denoise = Callable[[FloatArray], FloatArray]

# What the clean images are compared with: the noisy ones as they are, and what two filters make of them.
NOISY, MEDIAN, DENOISED = "noisy", "median_3x3", "denoised"


def compute_binary_cross_entropy(clean: FloatArray, images: FloatArray) -> float:
    """Mean over all pixels of the cross-entropy between clean and given pixels, nats; clipped as Keras does.

    Args:
        clean: float32 (n, height, width, channels) in [0, 1].
        images: the same shape, in [0, 1].
    """
    clipped = np.clip(images.astype(np.float64), EPSILON, 1 - EPSILON)
    return float(-np.mean(clean * np.log(clipped) + (1 - clean) * np.log1p(-clipped)))


def compute_psnr(clean: FloatArray, images: FloatArray) -> float:
    """Peak signal-to-noise ratio, dB, the mean over the images; infinite where an image equals the clean one.

    Args:
        clean: float32 (n, height, width, channels) in [0, 1].
        images: the same shape.
    """
    # Here, since a classifier's run does not need it.
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):
        return float(
            np.mean([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(clean, images, strict=True)])
        )


def compute_ssim(clean: FloatArray, images: FloatArray) -> float:
    """Structural similarity, -1 to 1, the mean over images and channels; windows of 7×7 pixels (Wang et al., 2004).

    Args:
        clean: float32 (n, height, width, channels) in [0, 1].
        images: the same shape.
    """
    from skimage.metrics import structural_similarity

    # Not scikit-image's `channel_axis`, which rounds the mean of each channel to float32.
    planes = [np.moveaxis(one, -1, 1).reshape(-1, *one.shape[1:3]) for one in (clean, images)]
    return float(np.mean([structural_similarity(a, b, data_range=1.0) for a, b in zip(*planes, strict=True)]))


def filter_median(images: FloatArray) -> FloatArray:
    """Replace each pixel by the median of its 3×3 neighbourhood, zeros around the image: a baseline without a network.

    Args:
        images: float32 (n, height, width, channels); each channel is filtered by itself.
    """
    return np.asarray(ndimage.median_filter(images, size=(1, 3, 3, 1), mode="constant"))


def measure_reconstruction(conditions: Sequence[Condition], images: FloatArray, denoise: Denoise) -> pd.DataFrame:
    """Compare noisy, filtered and denoised images with the clean ones.

    Args:
        conditions: how the images are corrupted, from `robustness.list_salt_and_pepper` or `list_gaussian`.
        images: float32 (n, height, width, channels) in [0, 1], clean.
        denoise: the network.

    Returns:
        Three rows a condition: its columns, method (noisy, median_3x3, denoised), n (images), psnr (dB, infinite where
        nothing was changed) and ssim.
    """
    rows = []
    for condition in conditions:
        noisy = condition.transform(images)
        for method, made in ((NOISY, noisy), (MEDIAN, filter_median(noisy)), (DENOISED, denoise(noisy))):
            measures = {"psnr": compute_psnr(images, made), "ssim": compute_ssim(images, made)}
            rows.append({**condition.columns, "method": method, "n": len(images), **measures})
    return pd.DataFrame(rows)


def compute_quality(table: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean PSNR and SSIM of the denoised images over the draws at each noise level: `test_psnr_at_level_0.4`, …

    Args:
        table: from `measure_reconstruction`.
        column: of the noise level: level or stddev.
    """
    denoised = table[table["method"] == DENOISED]
    means = denoised.groupby(column)[["psnr", "ssim"]].mean()
    return {
        f"test_{measure}_at_{column}_{level:g}": float(value)
        for level, row in means.iterrows()
        for measure, value in row.items()
        if math.isfinite(value)
    }
