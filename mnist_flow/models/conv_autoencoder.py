"""A convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from mnist_flow.config.section import Activation, Count
from mnist_flow.config.train import ModelSection, Task
from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.subpixel import build_pixel_shuffle, halve_image
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    task: ClassVar[Task] = "reconstruction"

    # A third halving would leave no whole number of pixels.
    filters: Annotated[list[Count], Field(min_length=1, max_length=2)]
    latent_filters: Count
    kernel_size: Count
    activation: Activation


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
            *(keras.layers.Conv2D(n, strides=2, name=f"encode_{i}", **options) for i, n in enumerate(filters, start=1)),
            keras.layers.Conv2D(latent_filters, name="code", **options),
        ],
        name="encoder",
    )
    decoding: list[keras.Layer] = [keras.Input((size, size, latent_filters), name="codes")]
    for number, n in enumerate(reversed(filters[:-1]), start=1):
        decoding.append(keras.layers.Conv2D(4 * n, name=f"decode_{number}", **options))
        decoding += build_pixel_shuffle(size, n, f"decode_{number}")
        size *= 2
    last = options | {"activation": "sigmoid", "dtype": "float32"}
    decoding += [keras.layers.Conv2D(4, name="pixels", **last), *build_pixel_shuffle(size, 1, "pixels")]
    decoder = keras.Sequential(decoding, name="decoder")
    images = keras.Input(IMAGE_SHAPE, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
