"""EMNIST letters: handwritten letters, upper and lower case together."""

from __future__ import annotations

import string
from functools import partial

from mnist_flow.config.train import DataSection
from mnist_flow.data.emnist import describe_emnist
from mnist_flow.data.releases import load_release

# Its labels are 1 to 26.
RELEASE = describe_emnist("letters", string.ascii_uppercase, (124_800, 20_800), first_label=1)


class Config(DataSection):
    """145,600 handwritten letters of 26 classes, 124,800 of them for training."""


load = partial(load_release, RELEASE)
