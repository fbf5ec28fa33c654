"""Makes latents to be decoded, and measures how good decoded images are (reports 002-4D and 003-4D). Pure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin, pairwise_distances_argmin_min
from sklearn.mixture import GaussianMixture

from mnist_flow.data.arrays import FloatArray, IntArray

# Value of the column `digit` in a row about the samples of all classes.
ALL = "all"
# Value of the column `way` for the real images that the samples are compared with.
TEST_IMAGES = "test_images"
# Titles of the methods, by their value in the column `way`: the reports' rows, in the reports' order.
WAYS = {
    "interpolation_within": "4D-1 interpolation within a class",
    "interpolation_between": "4D-1 interpolation between classes",
    "salted_codes": "4D-2 salted codes",
    "random_codes": "4D-3 random codes of two numbers",
    "conditional_decoder": "4D-4 conditional decoder",
    "noise_codes_corrupted": "4D-5 noise as code, level as corruption",
    "noise_codes_kept": "4D-5 noise as code, level as printed",
    "gaussian_mixture": "Gaussian mixture a class",
}


def interpolate_latents(first: FloatArray, second: FloatArray, fractions: FloatArray) -> FloatArray:
    """Interpolate pairs of latents linearly, (1 - p)·first + p·second: report 002-4D-1.

    Args:
        first: float32 (n, units).
        second: the same shape.
        fractions: p of each pair, float32 (n,), 0 to 1.
    """
    p = fractions[:, None]
    return (1 - p) * first + p * second


def choose_nearer(first: IntArray, second: IntArray, fractions: FloatArray) -> IntArray:
    """Choose the label of the end that an interpolation is nearer to: the first up to a fraction of one half."""
    return np.where(fractions <= 0.5, first, second)


def salt_latents(latents: FloatArray, level: float, rng: np.random.Generator) -> FloatArray:
    """Replace units at random by values between the smallest and the largest of their own latent: report 002-4D-2.

    Args:
        latents: float32 (n, units).
        level: probability that a unit is replaced, 0 to 1.
        rng: source of the noise.
    """
    low, high = latents.min(axis=1, keepdims=True), latents.max(axis=1, keepdims=True)
    replaced = rng.random(latents.shape, dtype=np.float32) < level
    return np.where(replaced, low + (high - low) * rng.random(latents.shape, dtype=np.float32), latents)


def sample_uniform_latents(latents: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Sample n latents uniformly from the smallest box that holds the given ones, float32 (n, units): report 002-4D-3.

    Args:
        latents: float32 (m, units), which span the box.
        n: latents to sample.
        rng: source of the samples.
    """
    return rng.uniform(latents.min(axis=0), latents.max(axis=0), (n, latents.shape[1])).astype(np.float32)


def sample_mixture_latents(
    latents: FloatArray, n: int, components: int, max_dimensions: int, keep: float, rng: np.random.Generator
) -> FloatArray:
    """Sample n latents from a mixture of normal distributions that is fitted to the latents of one class.

    Args:
        latents: float32 (m, units), m at least 2.
        n: latents to sample.
        components: normal distributions in the mixture, fewer where there are not so many latents.
        max_dimensions: longer latents are reduced to so many principal components first, which keeps the covariances
            well conditioned; the samples have the mean of what is left out.
        keep: fraction of the samples that is kept, those of the highest density; 1 keeps all.
        rng: source of the fit and the samples.

    Returns:
        float32 (n, units), each unit within the range that it has in the given latents.
    """
    state = int(rng.integers(2**31))
    reduction = PCA(min(max_dimensions, *latents.shape), svd_solver="full").fit(latents)
    reduced = reduction.transform(latents).astype(np.float64)
    mixture = GaussianMixture(min(components, len(latents)), random_state=state)
    with warnings.catch_warnings():
        # A mixture that has not converged is no worse to sample from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(reduced)
    sampled, _ = mixture.sample(int(np.ceil(n / keep)))
    densest = np.argsort(-mixture.score_samples(sampled), kind="stable")[:n]
    # `sample` returns one component after another, so shuffle.
    made = reduction.inverse_transform(sampled[rng.permutation(densest)])
    return np.clip(made, latents.min(axis=0), latents.max(axis=0)).astype(np.float32)


def label_by_nearest(latents: FloatArray, known: FloatArray, labels: IntArray) -> IntArray:
    """Label each latent as the nearest known one is, int64 (n,).

    Args:
        latents: float32 (n, units).
        known: float32 (m, units).
        labels: int64 (m,), of the known latents.
    """
    return labels[pairwise_distances_argmin(latents, known)]


def find_nearest(images: FloatArray, known: FloatArray) -> tuple[FloatArray, IntArray]:
    """Find the nearest known image of each: its root-mean-square difference of the pixels (n,), and its index (n,).

    Args:
        images: float32 (n, height, width, channels).
        known: float32 (m, height, width, channels).
    """
    flat = images.reshape(len(images), -1)
    indices, distances = pairwise_distances_argmin_min(flat, known.reshape(len(known), -1))
    return distances / np.sqrt(flat.shape[1]), indices


def compute_spread(images: FloatArray) -> float:
    """Compute the mean over all pairs of images of the root-mean-square difference of their pixels.

    Args:
        images: float32 (n, height, width, channels).

    Returns:
        The mean; NaN for fewer than two images.
    """
    if len(images) < 2:
        return float("nan")
    flat = images.reshape(len(images), -1)
    return float(pdist(flat).mean() / np.sqrt(flat.shape[1]))


def measure_samples(
    images: FloatArray,
    intended: IntArray | None,
    probabilities: FloatArray,
    distances: FloatArray,
    real_images: FloatArray,
    real_labels: IntArray,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Measure how good samples are.

    Args:
        images: float32 (n, height, width, channels).
        intended: int64 (n,), the label that each was made as; None: no label was intended.
        probabilities: float32 (n, classes), predicted by a reference classifier.
        distances: float (n,), to the nearest training image.
        real_images: float32 (m, height, width, channels), which the samples' diversity is compared with.
        real_labels: int64 (m,).
        class_names: of the labels 0, 1, …

    Returns:
        A row for all samples, and one for each intended label: digit (its class name), n, agreement (fraction that the
        reference classifier predicts as intended; NaN where no label was), confidence (mean of its highest
        probabilities), diversity (mean distance of two samples of a label, divided by that of two real ones; in the row
        of all samples the mean over the labels, or, where no label was intended, of any two) and nearest_distance
        (mean).
    """
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)

    def describe(chosen: np.ndarray | slice, class_name: str, agreement: float, diversity: float) -> dict[str, object]:
        return {
            "digit": class_name,
            "n": len(images[chosen]),
            "agreement": agreement,
            "confidence": float(confidence[chosen].mean()),
            "diversity": diversity,
            "nearest_distance": float(distances[chosen].mean()),
        }

    everything = slice(None)
    if intended is None:
        diversity = compute_spread(images) / compute_spread(real_images)
        return pd.DataFrame([describe(everything, ALL, float("nan"), diversity)])
    agrees = predicted == intended
    rows = []
    for label in np.unique(intended):
        chosen = intended == label
        diversity = compute_spread(images[chosen]) / compute_spread(real_images[real_labels == label])
        rows.append(describe(chosen, class_names[label], float(agrees[chosen].mean()), diversity))
    diversity = float(pd.DataFrame(rows)["diversity"].mean())
    return pd.DataFrame([describe(everything, ALL, float(agrees.mean()), diversity), *rows])
