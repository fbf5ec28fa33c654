"""EMNIST balanced: handwritten digits and letters, as many images of each."""

from __future__ import annotations

import string
from functools import partial

from mnist_flow.config.train import DataSection
from mnist_flow.data.emnist import describe_emnist
from mnist_flow.data.releases import load_release

# Lower-case letters that look unlike their upper case; the others share its class.
_LOWER_CASE = "abdefghnqrt"
RELEASE = describe_emnist("balanced", string.digits + string.ascii_uppercase + _LOWER_CASE, (112_800, 18_800))


class Config(DataSection):
    """131,600 handwritten digits and letters of 47 classes, 112,800 of them for training."""


load = partial(load_release, RELEASE)
