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

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LoadedModel:
    """A logged model of a training run."""

    run_id: str
    label: str  # what tells it from others: its experiment and the noise of its training
    model: keras.Model
    scale: float  # factor on all pixels that it was trained with
    batch_size: int  # images at a time

    def predict(self, images: FloatArray) -> FloatArray:
        """What the model says of images (n, 28, 28, 1) in [0, 1]: class probabilities (n, 10), or images."""
        return predict(self.model, self.scale_images(images), self.batch_size)

    def scale_images(self, images: FloatArray) -> FloatArray:
        """Images in [0, 1] as the model was trained on them."""
        return images if self.scale == 1 else images * np.float32(self.scale)

    def get_half(self, name: str) -> keras.Model:
        """`encoder` or `decoder`, a network within the model.

        Raises:
            RunError: the model has no such layer; a U-Net, whose skip connections go past every code, has none.
        """
        halves = {layer.name: layer for layer in self.model.layers}
        if name not in halves:
            raise RunError(f"run {self.run_id}: its model has no layer '{name}', but {' '.join(halves)}")
        return halves[name]

    def encode(self, images: FloatArray) -> FloatArray:
        """What the encoder makes of images (n, 28, 28, 1) in [0, 1], flattened: (n, latent) float32.

        Raises:
            RunError: the model has no encoder.
        """
        codes = predict(self.get_half("encoder"), self.scale_images(images), self.batch_size)
        return codes.reshape(len(codes), -1)


@dataclass(frozen=True)
class Subject:
    """A model to be measured."""

    measured: LoadedModel
    data_set: DataSet
    # Other models that take part, by the key of the measure that chose them: denoiser, judge.
    partners: Mapping[str, LoadedModel]


@dataclass(frozen=True)
class Outcome:
    """What a measure found; artifacts by their path in the evaluation's run."""

    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    arrays: dict[str, Mapping[str, Any]] = field(default_factory=dict)
