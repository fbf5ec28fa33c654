"""Autoencoders, dense and convolutional: reports 002-4 and 003-4."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.subpixel import build_pixel_shuffle, halve_image


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


def build_conv_autoencoder(
    filters: Sequence[int],
    latent_filters: int,
    kernel_size: int = 3,
    activation: str = "relu",
    name: str = "conv_autoencoder",
) -> keras.Model:
    """Convolutions that halve the image to a code, and sub-pixel ones that double it back: `encoder` and `decoder`.

    The decoder's convolutions are sub-pixel ones, see `build_pixel_shuffle`.

    Args:
        filters: of the encoder's convolutions, each of stride 2, one or two of them; the decoder has them in reverse.
        latent_filters: of the code, whose convolution keeps its size: 7×7 pixels after two halvings.
        kernel_size: of all convolutions, pixels; they pad.
        activation: of all layers but the last, a Keras name.
        name: of the model.

    Returns:
        (batch, 28, 28, 1) float32 in [0, 1] → the same, each pixel a sigmoid.

    Raises:
        ValueError: more halvings than the image allows.
    """
    size = halve_image(filters)
    options = {"kernel_size": kernel_size, "padding": "same", "activation": activation}
    encoder = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="images"),
            *(layers.Conv2D(n, strides=2, name=f"encode_{i}", **options) for i, n in enumerate(filters, start=1)),
            layers.Conv2D(latent_filters, name="code", **options),
        ],
        name="encoder",
    )
    decoding: list[keras.Layer] = [keras.Input((size, size, latent_filters), name="codes")]
    for number, n in enumerate(reversed(filters[:-1]), start=1):
        decoding.append(layers.Conv2D(4 * n, name=f"decode_{number}", **options))
        decoding += build_pixel_shuffle(size, n, f"decode_{number}")
        size *= 2
    last = options | {"activation": "sigmoid", "dtype": "float32"}
    decoding += [layers.Conv2D(4, name="pixels", **last), *build_pixel_shuffle(size, 1, "pixels")]
    decoder = keras.Sequential(decoding, name="decoder")
    images = keras.Input(IMAGE_SHAPE, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
