"""The noise that a config describes: the function that draws it, its name, and the conditions it is measured under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mnist_flow.config.schema import GaussianConfig, NoiseConfig, SaltAndPepperConfig
from mnist_flow.data import noise
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.noise import Corrupt
from mnist_flow.metrics.robustness import Condition, list_gaussian, list_salt_and_pepper


class _Noise(NamedTuple):
    """What the kinds of noise have in common."""

    add: Callable[[FloatArray, float | FloatArray, np.random.Generator], FloatArray]
    measure: str  # of its strength
    strength: float
    lowest: float | None


def choose_corruption(config: NoiseConfig) -> Corrupt | None:
    """The function that corrupts images (n, 28, 28, 1), each at the config's strength or at its own; or None."""
    found = _read(config)
    if found is None:
        return None
    add, _, strength, lowest = found
    if lowest is None:
        return lambda images, rng: add(images, strength, rng)
    return lambda images, rng: add(images, rng.uniform(lowest, strength, len(images)).astype(np.float32), rng)


def describe_noise(config: NoiseConfig) -> str:
    """A few words for a figure: `level 0.4`, `stddev 0 to 0.5`."""
    found = _read(config)
    return "no noise" if found is None else describe_strength(found.measure, found.strength, found.lowest)


def describe_strength(measure: str, strength: float, lowest: float | None) -> str:
    """`level 0.4`, or of images that have each their own, from `lowest` on: `level 0 to 1`."""
    start = "" if lowest is None else f"{lowest:g} to "
    return f"{measure} {start}{strength:g}"


def list_conditions(config: NoiseConfig, strengths: Sequence[float]) -> tuple[list[Condition], str]:
    """One draw of the config's kind of noise at each strength, salt and pepper where it has none.

    Returns:
        The conditions, and the column that holds their strength: level or stddev.
    """
    if isinstance(config, GaussianConfig):
        return list_gaussian(strengths, draws=1, seed=0), "stddev"
    return list_salt_and_pepper(strengths, draws=1, seed=0), "level"


def _read(config: NoiseConfig) -> _Noise | None:
    match config:
        case GaussianConfig():
            return _Noise(noise.add_gaussian, "stddev", config.stddev, config.min_stddev)
        case SaltAndPepperConfig():
            return _Noise(noise.add_salt_and_pepper, "level", config.level, config.min_level)
    return None
