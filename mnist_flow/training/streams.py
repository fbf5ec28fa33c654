"""Random numbers of a training, drawn from generators that are keyed by seed and epoch.

So epoch k depends on nothing but the seed and the weights it starts from, and an interrupted run goes on bit for bit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras

# Streams of random numbers within one (seed, epoch).
_ORDER, _LAYERS, _TRANSFORMS, _NOISE = range(4)
# The epoch of noise that is drawn once: no epoch counts so far.
_ONCE = 2**32
# Keys the noise of validation and test images, the same whatever the seed, so that runs are compared on equal images.
_MEASURED_NOISE = {"validation": 0, "test": 1}


def corrupt_measured(images: FloatArray, corrupt: Corrupt | None, part: Literal["validation", "test"]) -> FloatArray:
    """Corrupt images as a denoiser is validated or tested on: the same noise in every epoch and for every seed."""
    return images if corrupt is None else corrupt(images, np.random.default_rng([_ONCE, _MEASURED_NOISE[part]]))


def corrupt_once(images: FloatArray, corrupt: Corrupt, seed: int) -> FloatArray:
    """Corrupt training images whose noise is the same in every epoch."""
    return corrupt(images, np.random.default_rng([seed, _ONCE, _NOISE]))


def draw_order(seed: int, epoch: int, n_images: int) -> np.ndarray:
    """Draw the order of an epoch's images: their numbers, int64 (n_images,). Epochs count from 0."""
    return np.random.default_rng([seed, epoch, _ORDER]).permutation(n_images)


def build_transform_rng(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """The source of the geometric transforms of a batch."""
    return np.random.default_rng([seed, epoch, _TRANSFORMS, batch])


def build_noise_rng(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """The source of the noise of a batch."""
    return np.random.default_rng([seed, epoch, _NOISE, batch])


def seed_layers(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the random state of a network's dropout and noise layers at the start of an epoch."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for number, state in enumerate(states):
        rng = np.random.default_rng([seed, epoch, _LAYERS, number])
        state.assign(rng.integers(2**32, size=2, dtype=np.uint32))
