"""MNIST: LeCun, Cortes and Burges (1998)."""

from mnist_flow.config.train import DataSection


class Config(DataSection):
    """70,000 handwritten digits of 28×28 pixels, 60,000 of them for training."""
