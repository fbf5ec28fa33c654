"""Synthetic digits: codes to decode, and how good the images are (reports 002-4D and 003-4D). Pure."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from mnist_flow.data.arrays import FloatArray, IntArray

# `digit` of a row about all samples.
ALL = "all"
# `way` of the real images that the others are compared with.
TEST_IMAGES = "test_images"
# The ways as figures name them, with the reports' rows, in the reports' order.
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


def interpolate_codes(first: FloatArray, second: FloatArray, shares: FloatArray) -> FloatArray:
    """(1 - p)·first + p·second, a share p for each pair: report 002-4D-1.

    Args:
        first: float32 (n, d).
        second: the same shape.
        shares: float32 (n,), 0 to 1.
    """
    p = shares[:, None]
    return (1 - p) * first + p * second


def choose_nearer(first: IntArray, second: IntArray, shares: FloatArray) -> IntArray:
    """The label of the code that an interpolation is nearer to: the first up to a share of one half."""
    return np.where(shares <= 0.5, first, second)


def salt_codes(codes: FloatArray, level: float, rng: np.random.Generator) -> FloatArray:
    """Replace each number with probability `level` by one between the smallest and largest of its code: 002-4D-2.

    Args:
        codes: float32 (n, d).
        level: probability, 0 to 1.
        rng: source of the noise.
    """
    low, high = codes.min(axis=1, keepdims=True), codes.max(axis=1, keepdims=True)
    replaced = rng.random(codes.shape, dtype=np.float32) < level
    return np.where(replaced, low + (high - low) * rng.random(codes.shape, dtype=np.float32), codes)


def draw_uniform_codes(codes: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """n codes from the box that holds the given ones, float32 (n, d): report 002-4D-3.

    Args:
        codes: float32 (m, d), which span the box.
        n: codes to draw.
        rng: source of the codes.
    """
    return rng.uniform(codes.min(axis=0), codes.max(axis=0), (n, codes.shape[1])).astype(np.float32)


def draw_mixture_codes(
    codes: FloatArray, n: int, components: int, max_dimensions: int, keep: float, rng: np.random.Generator
) -> FloatArray:
    """n new codes from a mixture of normal distributions that is fitted to the codes of one class.

    Args:
        codes: float32 (m, d), m at least 2.
        n: codes to draw.
        components: normal distributions in the mixture, fewer where there are not so many codes.
        max_dimensions: longer codes are reduced by principal components to so many numbers first, which keeps the
            covariances well conditioned; what is left out of a code is that of the mean code.
        keep: share of the draws that is kept, those of the highest density; 1 keeps all.
        rng: source of fit and draws.

    Returns:
        float32 (n, d), each number within the range that it has in the given codes.
    """
    state = int(rng.integers(2**31))
    reduction = PCA(min(max_dimensions, *codes.shape), svd_solver="full").fit(codes)
    reduced = reduction.transform(codes).astype(np.float64)
    mixture = GaussianMixture(min(components, len(codes)), random_state=state)
    with warnings.catch_warnings():
        # A mixture that has not converged is no worse to draw from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(reduced)
    drawn, _ = mixture.sample(int(np.ceil(n / keep)))
    densest = np.argsort(-mixture.score_samples(drawn), kind="stable")[:n]
    # `sample` goes component by component.
    made = reduction.inverse_transform(drawn[rng.permutation(densest)])
    return np.clip(made, codes.min(axis=0), codes.max(axis=0)).astype(np.float32)


def label_by_nearest(codes: FloatArray, known: FloatArray, labels: IntArray) -> IntArray:
    """The label of the nearest known code, int64 (n,).

    Args:
        codes: float32 (n, d).
        known: float32 (m, d).
        labels: int64 (m,).
    """
    return labels[_search(known).kneighbors(codes, return_distance=False)[:, 0]]


class NearestImages:
    """Finds the nearest of many images.

    Args:
        images: float32 (m, 28, 28, 1), to be searched.
    """

    def __init__(self, images: FloatArray) -> None:
        self._neighbors = _search(images.reshape(len(images), -1))

    def find(self, images: FloatArray) -> tuple[FloatArray, IntArray]:
        """Distance to the nearest image, the root of the mean squared difference of the pixels (n,), and its index."""
        flat = images.reshape(len(images), -1)
        distances, indices = self._neighbors.kneighbors(flat)
        return distances[:, 0] / np.sqrt(flat.shape[1]), indices[:, 0]


def compute_spread(images: FloatArray) -> float:
    """Mean distance of two images, the root of the mean squared difference of their pixels; NaN for less than two.

    Args:
        images: float32 (n, 28, 28, 1).
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
) -> pd.DataFrame:
    """How good samples are.

    Args:
        images: float32 (n, 28, 28, 1).
        intended: int64 (n,), the digit that each was made as; None: none was meant.
        probabilities: float32 (n, 10), what a judge says of them.
        distances: float (n,), to the nearest training image.
        real_images: float32 (m, 28, 28, 1), which the samples' diversity is compared with.
        real_labels: int64 (m,).

    Returns:
        A row for all samples, and one for each intended digit: digit (text), n, agreement (share judged as intended;
        NaN where nothing was), confidence (mean of the judge's highest probabilities), diversity (mean distance of two
        samples of a digit as a share of that of two real ones; in the row of all samples the mean over the digits, or,
        where no digit was intended, of any two) and nearest_distance (mean).
    """
    confidence, judged = probabilities.max(axis=1), probabilities.argmax(axis=1)

    def describe(chosen: np.ndarray | slice, digit: str, agreement: float, diversity: float) -> dict[str, object]:
        return {
            "digit": digit,
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
    agrees = judged == intended
    rows = []
    for digit in np.unique(intended):
        chosen = intended == digit
        diversity = compute_spread(images[chosen]) / compute_spread(real_images[real_labels == digit])
        rows.append(describe(chosen, str(digit), float(agrees[chosen].mean()), diversity))
    diversity = float(pd.DataFrame(rows)["diversity"].mean())
    return pd.DataFrame([describe(everything, ALL, float(agrees.mean()), diversity), *rows])


def _search(points: FloatArray) -> NearestNeighbors:
    # Trees gain nothing in hundreds of dimensions; this one works through the distances in chunks.
    return NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points)
