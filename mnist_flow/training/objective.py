"""What a training loop must know of a task: its loss and metrics, and what the network is given and shall answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras, tf


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
