"""Fully connected autoencoders: reports 002-4 and 003-4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from mnist_flow.config.section import Activation, Count
from mnist_flow.config.train import ModelSection, Task
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    task: ClassVar[Task] = "reconstruction"

    hidden_units: list[Count]
    latent_units: Count
    activation: Activation
    latent_activation: Activation


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images of a data set: see `build_autoencoder`."""
    return build_autoencoder(info.input_shape, **config.model_dump(exclude={"family", "module"}))


def build_autoencoder(
    input_shape: tuple[int, int, int],
    hidden_units: Sequence[int],
    latent_units: int,
    activation: str = "relu",
    latent_activation: str = "relu",
    name: str = "autoencoder",
) -> keras.Model:
    """An encoder to `latent_units` numbers and its mirror image back, the two as layers `encoder` and `decoder`.

    Args:
        input_shape: height, width and channels of an image.
        hidden_units: units of the encoder's hidden layers; the decoder has them in reverse.
        latent_units: length of the latent.
        activation: of the hidden layers, a Keras name.
        latent_activation: of the latent.

    Returns:
        (batch, height, width, channels) float32 in [0, 1] → the same, each pixel a sigmoid.
    """
    encoder = keras.Sequential(
        [
            keras.Input(input_shape, name="images"),
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
            keras.layers.Dense(math.prod(input_shape), "sigmoid", dtype="float32", name="pixels"),
            keras.layers.Reshape(input_shape, dtype="float32", name="reshape"),
        ],
        name="decoder",
    )
    images = keras.Input(input_shape, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
