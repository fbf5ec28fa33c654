"""No noise."""

from mnist_flow.config.train import NoiseSection


class Config(NoiseSection):
    """Images stay as they are."""
