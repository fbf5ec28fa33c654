"""The squared difference between what a network gives and what it shall give."""

from __future__ import annotations

from mnist_flow.config.train import LossSection
from mnist_flow.runtime.lazy import keras


class Config(LossSection):
    pass


def build_loss(config: Config) -> keras.losses.Loss:
    """Build the squared difference, mean over classes or pixels, and over the images."""
    return keras.losses.MeanSquaredError()
