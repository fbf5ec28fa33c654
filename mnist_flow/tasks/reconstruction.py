"""Restoring the clean image."""

from __future__ import annotations

from typing import Any

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras
from mnist_flow.tasks.task import Shape, Task
from mnist_flow.training.streams import corrupt_measured


class Reconstruction(Task):
    """Minimises the binary cross-entropy of the clean pixels, mean over the pixels."""

    title = "an autoencoder"

    def output_shape(self, info: DatasetInfo) -> Shape:
        return info.input_shape

    def build_loss(self, label_smoothing: float) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy()

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.images

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        # A denoiser is validated on corrupted images, too.
        return corrupt_measured(images.images, corrupt, "validation"), images.images


TASK = Reconstruction()
