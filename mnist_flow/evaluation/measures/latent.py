"""The latents of an autoencoder: where the classes lie, and how well neighbours tell them apart (report 002-4D)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from mnist_flow.config.section import Count, OptionSection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.errors import RunError
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.classification import compute_standard_error

# Latents of at most so many units are logged; 10,000 of them take 5 MB.
_SMALL = 128

TASKS = ("reconstruction",)
NEEDED_LAYERS = ("encoder",)


class Config(OptionSection):
    k: Count
    neighbours_from: Count


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Classify the clean test images by their nearest neighbours among latents, and project the latents to 2-D.

    The neighbours are the first training images of the data set, whichever of them the run held out.

    Returns:
        Table `latent`: one row with k, neighbours_from (training images), latent (units), n, accuracy and
        standard_error (binomial) of the test images. Metrics: knn_accuracy and, of latents of more than two units, the
        fractions of the variance explained_variance_1 and _2. The arrays `samples/latent.npz` hold points (n, 2)
        float32, labels (n,) int, class_names (n_classes,) texts, explained (2,) or (0,), latent () int, and codes,
        which are the latents (n, units) float32 where they are short.

    Raises:
        RunError: the model has no layer `encoder`, or there are fewer training images than neighbours.
    """
    train, test = subject.data_set.train, subject.data_set.test
    reference = train.images[: config.neighbours_from]
    if config.k > len(reference):
        raise RunError(f"measure.{name}.k={config.k}: must be at most the {len(reference)} training images taken")
    train_latents = subject.measured.encode(reference)
    latents = subject.measured.encode(test.images)
    neighbours = KNeighborsClassifier(config.k).fit(train_latents, train.labels[: len(reference)])
    accuracy = float(neighbours.score(latents, test.labels))
    points, explained = project_latents(train_latents, latents)
    row = {
        "k": config.k,
        "neighbours_from": len(reference),
        "latent": latents.shape[1],
        "n": len(latents),
        "accuracy": accuracy,
        "standard_error": compute_standard_error(accuracy, len(latents)),
    }
    fractions = {f"explained_variance_{number}": float(one) for number, one in enumerate(explained, start=1)}
    return EvaluationResult(
        metrics={"knn_accuracy": accuracy, **fractions},
        tables={f"tables/{name}.json": pd.DataFrame([row])},
        arrays={
            f"samples/{name}.npz": {
                "points": points,
                "labels": test.labels,
                "class_names": np.array(subject.data_set.class_names),
                "explained": explained,
                "latent": latents.shape[1],
                **({"codes": latents} if latents.shape[1] <= _SMALL else {}),
            }
        },
    )


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose the columns of the command's table."""
    return {"kNN accuracy": metrics["knn_accuracy"]}


def project_latents(train_latents: FloatArray, latents: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Project latents to points of a plane.

    Args:
        train_latents: float32 (m, units), what the principal components are fitted on.
        latents: float32 (n, units).

    Returns:
        Points (n, 2) float32, and the fractions of the variance (2,) float32 that they explain. Latents of at most two
        units are the points themselves, filled up with zeros, and there are no fractions.
    """
    units = latents.shape[1]
    if units <= 2:
        return np.pad(latents, ((0, 0), (0, 2 - units))), np.empty(0, np.float32)
    # Long latents make scikit-learn choose a randomised solver.
    pca = PCA(2, random_state=0)
    with np.errstate(invalid="ignore"):
        pca.fit(train_latents)
    # An encoder that gives one latent for all images leaves nothing to explain.
    fractions = np.nan_to_num(pca.explained_variance_ratio_)
    return pca.transform(latents).astype(np.float32), fractions.astype(np.float32)
