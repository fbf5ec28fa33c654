"""The dense part that all classifiers end with, and the names of hidden layers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from mnist_flow.runtime.lazy import keras


class HiddenLayer(NamedTuple):
    """A dense layer, and the fraction of its outputs dropped in training."""

    units: int
    dropout: float = 0.0
    activation: str = "relu"  # a Keras name


def build_dense_part(
    hidden: Iterable[HiddenLayer],
    n_classes: int,
    batch_normalization: bool,
    kernel_initializer: str | None = None,
    gaussian_noise: float | None = None,
) -> list[keras.Layer]:
    """Build a Flatten layer, Dense layers `dense_1`, `dense_2`, … and the softmax over the classes.

    The output is float32 whatever the precision of the hidden layers.

    Args:
        hidden: the hidden layers.
        n_classes: outputs.
        batch_normalization: normalise after each hidden layer.
        kernel_initializer: what the first weights of all layers are drawn from, a Keras name; None: `glorot_uniform`
            (Glorot and Bengio, 2010).
        gaussian_noise: standard deviation of the Gaussian noise that is added in training to the input and to the
            outputs of each hidden layer, above 0 and below 1; None: no noise. Similar to the baseline of Rasmus et al.
            (2015), who add it before the activation.
    """
    dense = partial(keras.layers.Dense, kernel_initializer=kernel_initializer or "glorot_uniform")
    layers: list[keras.Layer] = [keras.layers.Flatten(name="flatten")]
    if gaussian_noise is not None:
        layers.append(keras.layers.GaussianNoise(gaussian_noise, name="dense_noise_0"))
    for number, (units, dropout, activation) in enumerate(hidden, start=1):
        layers.append(dense(units, activation=activation, name=f"dense_{number}"))
        if batch_normalization:
            layers.append(keras.layers.BatchNormalization(name=f"dense_batch_norm_{number}"))
        if gaussian_noise is not None:
            layers.append(keras.layers.GaussianNoise(gaussian_noise, name=f"dense_noise_{number}"))
        if dropout > 0:
            layers.append(keras.layers.Dropout(dropout, name=f"dense_dropout_{number}"))
    return [*layers, dense(n_classes, activation="softmax", dtype="float32", name="probabilities")]


def number_layers(kind: str, count: int) -> list[str]:
    """Names of layers of a kind, from 1 on: dense_1, dense_2, …"""
    return [f"{kind}_{number}" for number in range(1, count + 1)]
