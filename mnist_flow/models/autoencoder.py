"""Autoencoders, dense and convolutional: reports 002-4 and 003-4."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mnist_flow.config.section import Activation, Count
from mnist_flow.config.train import ModelSection, Task
from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    task: ClassVar[Task] = "reconstruction"

    hidden_units: list[Count]
    latent_units: Count
    activation: Activation
    latent_activation: Activation


def build_autoencoder(
    hidden_units: list[int],
    latent_units: int,
    activation: str = "relu",
    latent_activation: str = "relu",
    name: str = "autoencoder",
) -> keras.Model:
    """An encoder to `latent_units` numbers and its mirror image back, the two as layers `encoder` and `decoder`.

    Args:
        hidden_units: units of the encoder's hidden layers; the decoder has them in reverse.
        latent_units: length of the code.
        activation: of the hidden layers, a Keras name.
        latent_activation: of the code.
        name: of the model.

    Returns:
        (batch, 28, 28, 1) float32 in [0, 1] → the same, each pixel a sigmoid.
    """
    encoder = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="images"),
            keras.layers.Flatten(name="flatten"),
            *(keras.layers.Dense(n, activation, name=f"encode_{i}") for i, n in enumerate(hidden_units, start=1)),
            keras.layers.Dense(latent_units, latent_activation, name="code"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_units,), name="codes"),
            *(
                keras.layers.Dense(n, activation, name=f"decode_{i}")
                for i, n in enumerate(reversed(hidden_units), start=1)
            ),
            keras.layers.Dense(int(np.prod(IMAGE_SHAPE)), "sigmoid", dtype="float32", name="pixels"),
            keras.layers.Reshape(IMAGE_SHAPE, name="reshape"),
        ],
        name="decoder",
    )
    images = keras.Input(IMAGE_SHAPE, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
