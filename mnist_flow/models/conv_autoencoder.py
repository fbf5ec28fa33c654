"""A convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from mnist_flow.config.section import Count
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.models.subpixel import HalvingConfig, build_pixel_shuffle, halve_image
from mnist_flow.runtime.lazy import keras


class Config(HalvingConfig):
    latent_filters: Count


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images of a data set: see `build_conv_autoencoder`."""
    return build_conv_autoencoder(info.input_shape, **config.model_dump(exclude={"family", "module"}))


def build_conv_autoencoder(
    input_shape: tuple[int, int, int],
    filters: Sequence[int],
    latent_filters: int,
    kernel_size: int = 3,
    activation: str = "relu",
    name: str = "conv_autoencoder",
) -> keras.Model:
    """Convolutions that halve the image to a latent, and sub-pixel ones that double it back: `encoder` and `decoder`.

    The decoder's convolutions are sub-pixel ones, see `build_pixel_shuffle`.

    Args:
        input_shape: height, width and channels of an image.
        filters: of the encoder's convolutions, each of stride 2; the decoder has them in reverse.
        latent_filters: of the latent, whose convolution keeps its size: a quarter of the image's sides after two
            halvings.
        kernel_size: of all convolutions, pixels; they pad.
        activation: of all layers but the last, a Keras name.

    Returns:
        (batch, height, width, channels) float32 in [0, 1] → the same, each pixel a sigmoid.

    Raises:
        ValueError: the sides of an image can't be halved so often.
    """
    channels, (height, width) = input_shape[2], halve_image(input_shape, filters)
    options = {"kernel_size": kernel_size, "padding": "same", "activation": activation}
    encoder = keras.Sequential(
        [
            keras.Input(input_shape, name="images"),
            *(keras.layers.Conv2D(n, strides=2, name=f"encode_{i}", **options) for i, n in enumerate(filters, start=1)),
            keras.layers.Conv2D(latent_filters, name="code", **options),
        ],
        name="encoder",
    )
    decoding: list[keras.Layer] = [keras.Input((height, width, latent_filters), name="codes")]
    for number, n in enumerate(reversed(filters[:-1]), start=1):
        decoding.append(keras.layers.Conv2D(4 * n, name=f"decode_{number}", **options))
        decoding += build_pixel_shuffle((height, width, n), f"decode_{number}")
        height, width = 2 * height, 2 * width
    last = options | {"activation": "sigmoid", "dtype": "float32"}
    decoding.append(keras.layers.Conv2D(4 * channels, name="pixels", **last))
    decoding += build_pixel_shuffle((height, width, channels), "pixels", "float32")
    decoder = keras.Sequential(decoding, name="decoder")
    images = keras.Input(input_shape, name="images")
    return keras.Model(images, decoder(encoder(images)), name=name)
