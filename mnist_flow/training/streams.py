"""Random numbers of a training, drawn from generators that are keyed by seed and epoch.

So epoch k depends on nothing but the seed and the weights it starts from, and an interrupted run goes on bit for bit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.noise import Corrupt

# Streams of random numbers within one (seed, epoch).
ORDER, LAYERS, TRANSFORMS, NOISE = range(4)
# The epoch of noise that is drawn once: no epoch counts so far.
ONCE = 2**32
# Keys the noise of validation and test images, the same whatever the seed, so that runs are compared on equal images.
_MEASURED_NOISE = {"validation": 0, "test": 1}


def corrupt_measured(images: FloatArray, corrupt: Corrupt | None, part: Literal["validation", "test"]) -> FloatArray:
    """Corrupt images as a denoiser is validated or tested on: the same noise in every epoch and for every seed."""
    return images if corrupt is None else corrupt(images, np.random.default_rng([ONCE, _MEASURED_NOISE[part]]))
