"""A U-Net for denoising: what was seen at each size on the way down is handed over at that size on the way up."""

from __future__ import annotations

from collections.abc import Sequence

from mnist_flow.config.section import Count
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.models.subpixel import HalvingConfig, build_pixel_shuffle, build_pixel_unshuffle, halve_image
from mnist_flow.runtime.lazy import keras


class Config(HalvingConfig):
    bottleneck_filters: Count


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images of a data set: see `build_unet`."""
    return build_unet(info.input_shape, **config.model_dump(exclude={"family", "module"}))


def build_unet(
    input_shape: tuple[int, int, int],
    filters: Sequence[int],
    bottleneck_filters: int,
    kernel_size: int = 3,
    activation: str = "relu",
    name: str = "unet",
) -> keras.Model:
    """Convolutions over smaller and smaller images and back, with a skip connection at every size.

    After Ronneberger, Fischer and Brox, U-Net (2015), made small for a CPU: one convolution a size on the way down, two
    on the way up, no batch normalization, and blocks of 2×2 pixels as channels, see `build_pixel_shuffle`. The image is
    the outermost skip connection: pixels without noise can pass, where an autoencoder draws all anew from its latent.

    Args:
        input_shape: height, width and channels of an image.
        filters: of the convolutions on the way down, at half the sides of the image, at a quarter, …; the way up has
            them in reverse.
        bottleneck_filters: of the convolution between the two ways, at the smallest size.
        kernel_size: of all convolutions; they pad.
        activation: of all layers but the last, a Keras name.

    Returns:
        (batch, height, width, channels) float32 in [0, 1] → the same, each pixel a sigmoid.

    Raises:
        ValueError: the sides of an image can't be halved so often.
    """
    channels, (height, width) = input_shape[2], halve_image(input_shape, filters)
    options = {"kernel_size": kernel_size, "padding": "same", "activation": activation}
    images = keras.Input(input_shape, name="images")
    blocks = _apply(build_pixel_unshuffle(input_shape, "images"), images)
    x = keras.layers.Conv2D(filters[0], name="down_1", **options)(blocks)
    skips = [x]
    for number, n in enumerate(filters[1:], start=2):
        x = keras.layers.Conv2D(n, strides=2, name=f"down_{number}", **options)(x)
        skips.append(x)
    x = keras.layers.Conv2D(bottleneck_filters, name="bottleneck", **options)(x)
    for number in range(len(filters) - 1, 0, -1):
        n = filters[number - 1]
        x = keras.layers.Conv2D(4 * n, name=f"up_{number}", **options)(x)
        x = _apply(build_pixel_shuffle((height, width, n), f"up_{number}"), x)
        x = keras.layers.Concatenate(name=f"skip_{number}")([x, skips[number - 1]])
        x = keras.layers.Conv2D(n, name=f"merge_{number}", **options)(x)
        height, width = 2 * height, 2 * width
    x = keras.layers.Concatenate(name="skip_image")([x, blocks])
    x = keras.layers.Conv2D(4 * channels, name="pixels", **options | {"activation": "sigmoid", "dtype": "float32"})(x)
    return keras.Model(
        images, _apply(build_pixel_shuffle((height, width, channels), "pixels", "float32"), x), name=name
    )


def _apply(chain: Sequence[keras.layers.Layer], x: keras.KerasTensor) -> keras.KerasTensor:
    for layer in chain:
        x = layer(x)
    return x
