"""Telling classes apart."""

from __future__ import annotations

from typing import Any

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras
from mnist_flow.tasks.task import Shape, Task


class Classification(Task):
    """Minimises the cross-entropy of the labels."""

    title = "a classifier"

    def output_shape(self, info: DatasetInfo) -> Shape:
        return (info.n_classes,)

    def build_loss(self, label_smoothing: float) -> keras.losses.Loss:
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.CategoricalAccuracy("accuracy")]

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.one_hot(n_classes)

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        # Classifiers are measured on clean images, whatever noise they learn with.
        return images.images, images.one_hot(n_classes)


TASK = Classification()
