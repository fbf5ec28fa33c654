"""What a training loop must know of a task: its loss and metrics, and what the network is given and shall answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras, tf

# From inputs and targets to what a training step is given: what the network sees, what it shall answer, and perhaps how
# much each image counts.
Pair = Callable[[Any, Any], tuple[Any, ...]]


class Objective(ABC):
    """What a network is trained for."""

    @abstractmethod
    def build_loss(self, label_smoothing: float) -> keras.losses.Loss | None:
        """Build the loss; None: it is the learner's own."""

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Build the metrics beside the loss, which each epoch logs of training and validation."""
        return []

    @abstractmethod
    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        """Build what the network shall answer for training images, float32 (n, …)."""

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Pair what the network is given in a training step with what it shall answer."""
        return inputs, targets

    @abstractmethod
    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        """Build what the network is given at the end of an epoch, and what it shall answer, float32 (n, …) each."""

    def build_learner(self, model: keras.Model) -> keras.Model:
        """Build what is compiled and trained: a model of the same layers whose output the loss takes."""
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def weigh_classes(pair: Pair, labels: IntArray, n_classes: int) -> Pair:
    """Let the classes count alike in the loss, however many images they have.

    An image counts n / (k · m): n images of k classes, m of them of its own; their mean is 1. Scikit-learn calls these
    weights balanced.

    Args:
        pair: of the objective of a classifier, whose targets are one-hot.
        labels: int64 (n,) of the training images.
        n_classes: number of classes.
    """
    counts = np.bincount(labels, minlength=n_classes)
    # A class without training images weighs nothing that is ever counted.
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)).astype(np.float32)

    def weigh(inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, ...]:
        return *pair(inputs, targets), tf.linalg.matvec(targets, weights)

    return weigh
