"""No augmentation."""

from mnist_flow.config.train import AugmentationSection


class Config(AugmentationSection):
    """Training images stay as they are."""
