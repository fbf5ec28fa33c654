"""Circles, squares and triangles on grey noise, drawn when they are loaded: 1,200 to learn from and 300 to test."""

import numpy as np

from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData


class Config(DataSection):
    contrast: int


def load(path, contrast):
    rng, (y, x) = np.random.default_rng(0), np.mgrid[-10:10, -10:10]
    inside = np.stack([y**2 + x**2 < 36, np.maximum(abs(y), abs(x)) < 6, (y < 6) & (2 * abs(x) < y + 7)])
    labels = rng.integers(3, size=1500)
    images = rng.integers(100, size=(1500, 20, 20)) + contrast * inside[labels]
    images = np.stack([np.roll(image, rng.integers(-3, 4, 2), (0, 1)) for image in images.astype(np.uint8)])
    names = ("circle", "square", "triangle")
    return RawData("lab.shapes", (20, 20, 1), names, images[:1200], labels[:1200], images[1200:], labels[1200:])
