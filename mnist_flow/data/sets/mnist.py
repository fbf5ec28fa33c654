"""MNIST: LeCun, Cortes and Burges (1998)."""

from __future__ import annotations

from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData
from mnist_flow.data.releases import load_of_keras

_REMEDIES = (
    "Remedies: data.path=FILE.npz or the environment variable MNIST_NPZ=FILE.npz (an .npz with x_train y_train x_test "
    "y_test), a network connection for the download, or data=digits, which needs neither."
)


class Config(DataSection):
    """70,000 handwritten digits of 28×28 pixels, 60,000 of them for training."""


def load(path: str | None = None) -> RawData:
    """Load MNIST from a file, from Keras's cache or from the network.

    Args:
        path: an .npz file with x_train, y_train, x_test and y_test; None looks in Keras's cache, then downloads, and
            Keras checks the hash.

    Raises:
        DataError: the data can't be had; the message names every remedy.
    """
    source, arrays = load_of_keras("mnist", "MNIST", _REMEDIES, path)
    return RawData(source, (28, 28, 1), tuple("0123456789"), **arrays, remedies=_REMEDIES)
