"""Cross-entropy that counts images less the more certain the network is of them: Lin et al. (2017), section 3."""

from __future__ import annotations

from mnist_flow.config.section import NonNegative
from mnist_flow.config.train import LossSection
from mnist_flow.runtime.lazy import keras


class Config(LossSection):
    tasks = ("classification",)

    gamma: NonNegative


def build_loss(config: Config) -> keras.losses.Loss:
    """Build the loss -(1 - p)^gamma log p of the probability p of the true class, mean over the images."""
    return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=config.gamma)
