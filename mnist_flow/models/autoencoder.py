"""Dense autoencoders: reports 002-4 and 003-4."""

import keras
import numpy as np
from keras import layers

from mnist_flow.data import IMAGE_SHAPE


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
            layers.Flatten(name="flatten"),
            *(layers.Dense(n, activation, name=f"encode_{i}") for i, n in enumerate(hidden_units, start=1)),
            layers.Dense(latent_units, latent_activation, name="code"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_units,), name="codes"),
            *(layers.Dense(n, activation, name=f"decode_{i}") for i, n in enumerate(reversed(hidden_units), start=1)),
            layers.Dense(int(np.prod(IMAGE_SHAPE)), "sigmoid", dtype="float32", name="pixels"),
            layers.Reshape(IMAGE_SHAPE, name="reshape"),
        ],
        name="decoder",
    )
    images = keras.Input(IMAGE_SHAPE, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
