"""How good a classifier's predictions are. Pure NumPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import name_class

# Keras clips probabilities here before it takes their logarithm.
EPSILON = 1e-7


@dataclass(frozen=True)
class Evaluation:
    """Measures of a classifier on one set of images."""

    n: int  # images
    accuracy: float  # fraction classified correctly, 0 to 1
    cross_entropy: float  # mean over the images, nats
    l2_penalty: float  # reg·Σw², what the loss adds to the cross-entropy
    confusion: IntArray = field(repr=False)  # (n_classes, n_classes) counts: rows true, columns predicted

    @property
    def loss(self) -> float:
        """Cross-entropy plus L2 penalty, as Keras and the reports give it; without label smoothing."""
        return self.cross_entropy + self.l2_penalty

    @property
    def standard_error(self) -> float:
        """Binomial standard error of the accuracy."""
        return compute_standard_error(self.accuracy, self.n)

    @property
    def recalls(self) -> np.ndarray:
        """True-positive rate of each class, float64 (n_classes,); NaN where there are no images of it."""
        present = self.confusion.sum(axis=1)
        return np.divide(np.diag(self.confusion), present, out=np.full(len(present), np.nan), where=present > 0)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls, over the classes that there are images of."""
        return float(np.nanmean(self.recalls))

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 scores, over the classes that there are images of or that are predicted."""
        right, sizes = np.diag(self.confusion), self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        return float(np.mean(2 * right[sizes > 0] / sizes[sizes > 0]))

    def list_measures(self) -> dict[str, float]:
        """A row of a table: n, accuracy, standard_error, macro_recall (the mean of `recalls`), cross_entropy."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "standard_error": self.standard_error,
            "macro_recall": self.balanced_accuracy,
            "cross_entropy": self.cross_entropy,
        }


def evaluate_predictions(probabilities: FloatArray, labels: IntArray, l2_penalty: float = 0.0) -> Evaluation:
    """Measure predictions.

    Args:
        probabilities: float (n, n_classes), rows sum to 1.
        labels: int (n,), 0 to n_classes - 1.
        l2_penalty: the model's reg·Σw², at least 0.
    """
    # Takes seconds to import.
    from sklearn.metrics import confusion_matrix

    predicted = probabilities.argmax(axis=1)
    return Evaluation(
        n=len(labels),
        accuracy=float(np.mean(predicted == labels)),
        cross_entropy=compute_cross_entropy(probabilities, labels),
        l2_penalty=l2_penalty,
        confusion=confusion_matrix(labels, predicted, labels=range(probabilities.shape[1])),
    )


def compute_cross_entropy(probabilities: FloatArray, labels: IntArray) -> float:
    """Mean negative log-probability of the true class, nats; clipped to [1e-7, 1 - 1e-7] as Keras does."""
    of_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.clip(of_true, EPSILON, 1 - EPSILON))))


def compute_standard_error(accuracy: float, n: int) -> float:
    """Binomial standard error √(p(1-p)/n) of an accuracy p measured on n images.

    It is 0 where no image or every image is classified correctly, which does not make the accuracy certain:
    `compute_interval` tells then how far it may be from that.
    """
    return float(np.sqrt(accuracy * (1 - accuracy) / n))


def compute_interval(accuracy: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy measured on n images: its ends, fractions from 0 to 1."""
    # Takes a second to import.
    from scipy.stats import binomtest

    low, high = binomtest(round(accuracy * n), n).proportion_ci(method="wilson")
    return float(low), float(high)


def compute_per_class(labels: IntArray, predicted: IntArray, class_names: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class, 0 where undefined, and the number of images of it (support).

    Args:
        labels: int (n,), 0 to n_classes - 1.
        predicted: int (n,), the same range.
        class_names: of the labels 0, 1, …

    Returns:
        Columns digit (int) where the classes are named after their labels, otherwise class (text); precision, recall,
        f1, support.
    """
    # Takes seconds to import.
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(class_names))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0)
    numbered = list(class_names) == [str(number) for number in numbers]
    named = {"digit": numbers} if numbered and name_class(class_names) == "digit" else {"class": class_names}
    return pd.DataFrame({**named, "precision": precision, "recall": recall, "f1": f1, "support": support})


def find_misclassified(probabilities: FloatArray, labels: IntArray, most: int) -> IntArray:
    """Indices of the misclassified images, the most confident mistakes first, at most `most`."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")][:most]


def choose_one_of_each(labels: IntArray, most: int | None = None) -> IntArray:
    """Indices of the first image of each class there is, in the order of the labels, of at most so many classes."""
    return np.unique(labels, return_index=True)[1][:most]
