"""What a measure is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DataSet
from mnist_flow.errors import RunError
from mnist_flow.models.prediction import predict
from mnist_flow.runtime.lazy import keras

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LoadedModel:
    """The logged model of a training run."""

    run_id: str
    label: str  # for figures and tables: the run's experiment and the noise it was trained with
    model: keras.Model
    scale: float  # factor on all pixels that it was trained with
    batch_size: int  # images at a time

    def predict(self, x: FloatArray) -> FloatArray:
        """Predict class probabilities (n, classes), or images, float32.

        Args:
            x: float32 images (n, height, width, channels) in [0, 1], not scaled yet.
        """
        return predict(self.model, self.scale_images(x), self.batch_size)

    def scale_images(self, x: FloatArray) -> FloatArray:
        """Scale images in [0, 1] as those that the model was trained on."""
        return x if self.scale == 1 else x * np.float32(self.scale)

    def get_half(self, name: str) -> keras.Model:
        """Get the network `encoder` or `decoder` within the model.

        Raises:
            RunError: the model has no such layer. A U-Net has none, since its skip connections bypass every latent.
        """
        layers = {layer.name: layer for layer in self.model.layers}
        if name not in layers:
            raise RunError(f"run {self.run_id}: its model has no layer '{name}', but {' '.join(layers)}")
        return layers[name]

    def encode(self, x: FloatArray) -> FloatArray:
        """Encode images, float32 (n, height, width, channels) in [0, 1], to flat latents, float32 (n, units).

        Raises:
            RunError: the model has no encoder.
        """
        latents = predict(self.get_half("encoder"), self.scale_images(x), self.batch_size)
        return latents.reshape(len(latents), -1)


@dataclass(frozen=True)
class Subject:
    """The model to be measured, and what it is measured with."""

    measured: LoadedModel
    data_set: DataSet
    # Other models that take part, by the key of the measure's config that chose them, such as `denoiser`.
    partners: Mapping[str, LoadedModel]


@dataclass(frozen=True)
class EvaluationResult:
    """What a measure found. Tables, figures and arrays are keyed by their artifact path in the evaluation's run."""

    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    arrays: dict[str, Mapping[str, Any]] = field(default_factory=dict)
