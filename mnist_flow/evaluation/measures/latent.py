"""The codes of an autoencoder: where the digits lie among them, and how well they are told apart (report 002-4D)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from mnist_flow.config.section import Count, OptionSection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.errors import RunError
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.metrics.classification import compute_standard_error

# Codes of at most so many numbers are kept; 10,000 of them take 5 MB.
_SMALL = 128


# What the measured model may be for.
TASKS = ("reconstruction",)


class Config(OptionSection):
    k: Count
    neighbours_from: Count


def measure(name: str, settings: Config, subject: Subject) -> Outcome:
    """Classify the clean test images by their neighbours among the codes of training images, and draw codes in 2-D.

    The training images are the first ones of the data set, whichever of them the run held out.

    Returns:
        Table `latent`: one row with k, neighbours_from (training images), latent (numbers a code), n, accuracy and
        standard_error (binomial) of the test images. Metrics: knn_accuracy and, of codes of more than two numbers, the
        shares of the variance explained_variance_1 and _2. The arrays `samples/latent.npz` hold points (n, 2) float32,
        labels (n,) int, explained (2,) or (0,), latent () int, and codes (n, latent) float32 where they are short.

    Raises:
        RunError: the model has no layer `encoder`, or there are fewer training images than neighbours.
    """
    train, test = subject.data_set.train, subject.data_set.test
    reference = train.images[: settings.neighbours_from]
    if settings.k > len(reference):
        raise RunError(f"measure.{name}.k={settings.k}: must be at most the {len(reference)} training images taken")
    train_codes = subject.measured.encode(reference)
    codes = subject.measured.encode(test.images)
    neighbours = KNeighborsClassifier(settings.k).fit(train_codes, train.labels[: len(reference)])
    accuracy = float(neighbours.score(codes, test.labels))
    points, explained = project_codes(train_codes, codes)
    row = {
        "k": settings.k,
        "neighbours_from": len(reference),
        "latent": codes.shape[1],
        "n": len(codes),
        "accuracy": accuracy,
        "standard_error": compute_standard_error(accuracy, len(codes)),
    }
    shares = {f"explained_variance_{number}": float(share) for number, share in enumerate(explained, start=1)}
    return Outcome(
        metrics={"knn_accuracy": accuracy, **shares},
        tables={f"tables/{name}.json": pd.DataFrame([row])},
        arrays={
            f"samples/{name}.npz": {
                "points": points,
                "labels": test.labels,
                "explained": explained,
                "latent": codes.shape[1],
                **({"codes": codes} if codes.shape[1] <= _SMALL else {}),
            }
        },
    )


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The columns of the command's table."""
    return {"kNN accuracy": metrics["knn_accuracy"]}


def project_codes(train_codes: FloatArray, codes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Codes as points of a plane.

    Args:
        train_codes: float32 (m, latent), what the principal components are fitted on.
        codes: float32 (n, latent).

    Returns:
        Points (n, 2) float32, and the shares of the variance (2,) float32 that they explain. Codes of at most two
        numbers are the points themselves, filled up with zeros, and the shares are empty.
    """
    size = codes.shape[1]
    if size <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - size))), np.empty(0, np.float32)
    # Of long codes scikit-learn takes a randomised solver.
    pca = PCA(2, random_state=0)
    with np.errstate(invalid="ignore"):
        pca.fit(train_codes)
    # An encoder that gives one code for all images leaves nothing to explain.
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    return pca.transform(codes).astype(np.float32), shares.astype(np.float32)
