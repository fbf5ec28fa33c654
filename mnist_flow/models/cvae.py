"""Conditional variational autoencoder: report 002-4D-4 asks for a network from a class and chance to an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from mnist_flow.config.section import Activation, Count
from mnist_flow.config.train import ModelSection, Task
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    task: ClassVar[Task] = "generation"

    hidden_units: list[Count]
    latent_units: Count
    activation: Activation


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images and classes of a data set: see `build_cvae`."""
    return build_cvae(info.input_shape, info.n_classes, **config.model_dump(exclude={"family", "module"}))


def build_cvae(
    input_shape: tuple[int, int, int],
    n_classes: int,
    hidden_units: Sequence[int],
    latent_units: int,
    activation: str = "relu",
    name: str = "cvae",
) -> keras.Model:
    """An encoder from image and class to a normal distribution of latents, and a decoder from latent and class back.

    Kingma and Welling (2014); with classes, Sohn, Lee and Yan (2015). The layer `encoder` gives the mean and the
    logarithm of the standard deviation of the latent, the layer `decoder` takes any latent from N(0, I). In training
    the latent is sampled, otherwise it is the mean. All layers are Keras's own, so that a saved model needs nothing of
    this package.

    Args:
        input_shape: height, width and channels of an image.
        hidden_units: units of the encoder's hidden layers; the decoder has them in reverse.
        latent_units: length of the latent.
        activation: of the hidden layers, a Keras name.

    Returns:
        [images (batch, height, width, channels) float32 in [0, 1], classes (batch, n_classes) one-hot] → images, each
        pixel a sigmoid.
    """
    images = keras.Input(input_shape, name="images")
    classes = keras.Input((n_classes,), name="classes")
    encoder = _build_encoder(input_shape, n_classes, hidden_units, latent_units, activation)
    decoder = _build_decoder(input_shape, n_classes, hidden_units, latent_units, activation)
    mean, log_stddev = encoder([images, classes])
    # In float32 whatever the precision of the hidden layers: small deviations count.
    stddev = keras.layers.Activation("exponential", dtype="float32", name="stddev")(log_stddev)
    # Noise on zeros is N(0, I) in training, and nothing otherwise.
    zeros = keras.layers.Rescaling(0.0, dtype="float32", name="zeros")(mean)
    noise = keras.layers.GaussianNoise(1.0, dtype="float32", name="noise")(zeros)
    spread = keras.layers.Multiply(dtype="float32", name="spread")([stddev, noise])
    code = keras.layers.Add(dtype="float32", name="code")([mean, spread])
    return keras.Model([images, classes], decoder([code, classes]), name=name)


def read_code_distribution(model: keras.Model) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Mean and logarithm of the standard deviation of the latent, (batch, latent units) each, in the model's graph."""
    return model.get_layer("zeros").input, model.get_layer("stddev").input


def _build_encoder(
    input_shape: tuple[int, int, int], n_classes: int, hidden_units: Sequence[int], latent_units: int, activation: str
) -> keras.Model:
    images = keras.Input(input_shape, name="images")
    classes = keras.Input((n_classes,), name="classes")
    hidden = keras.layers.Concatenate(name="images_and_classes")(
        [keras.layers.Flatten(name="flatten")(images), classes]
    )
    for number, units in enumerate(hidden_units, start=1):
        hidden = keras.layers.Dense(units, activation, name=f"encode_{number}")(hidden)
    mean = keras.layers.Dense(latent_units, dtype="float32", name="mean")(hidden)
    log_stddev = keras.layers.Dense(latent_units, dtype="float32", name="log_stddev")(hidden)
    return keras.Model([images, classes], [mean, log_stddev], name="encoder")


def _build_decoder(
    input_shape: tuple[int, int, int], n_classes: int, hidden_units: Sequence[int], latent_units: int, activation: str
) -> keras.Model:
    codes = keras.Input((latent_units,), name="codes")
    classes = keras.Input((n_classes,), name="classes")
    hidden = keras.layers.Concatenate(name="codes_and_classes")([codes, classes])
    for number, units in enumerate(reversed(hidden_units), start=1):
        hidden = keras.layers.Dense(units, activation, name=f"decode_{number}")(hidden)
    pixels = keras.layers.Dense(math.prod(input_shape), "sigmoid", dtype="float32", name="pixels")(hidden)
    images = keras.layers.Reshape(input_shape, dtype="float32", name="reshape")(pixels)
    return keras.Model([codes, classes], images, name="decoder")
